/** The words for copies. Pure. JupyterLab cuts a notification at 140 characters. */

import type { IClock, Translate } from '../describe';
import type { IMerged } from '../merging';
import { shortName } from '../merging';

/** `more`: how many others there are. */
export function describeFound(name: string, at: Date, more: number, trans: Translate, clock: IClock): string {
  const when = clock.date(at.getTime() / 1000);
  return more === 0
    ? trans.__('“%1” has a conflict copy from %2.', shortName(name), when)
    : trans._n(
        '“%2” has a conflict copy from %3, and %1 older one.',
        '“%2” has a conflict copy from %3, and %1 older ones.',
        more,
        shortName(name),
        when
      );
}

export function describeMerged(name: string, merged: IMerged, trans: Translate): string {
  return merged.conflicts === 0
    ? trans.__('The copy was merged into “%1”. Nothing of it is missing there.', shortName(name))
    : trans._n(
        'The copy was merged into “%2”, but for %1 change that conflicts.',
        'The copy was merged into “%2”, but for %1 changes that conflict.',
        merged.conflicts,
        shortName(name)
      );
}
