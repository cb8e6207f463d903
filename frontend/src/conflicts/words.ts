/** The words for a conflict. Pure. */

import type { Translate } from '../describe';
import type { IConflict, Outcome, Place, Use } from './record';

function someone(conflict: IConflict, trans: Translate): string {
  return conflict.who === '' ? trans.__('someone else') : conflict.who;
}

/** What happened, in a few words. */
export function describeConflict(conflict: IConflict, place: Place, trans: Translate): string {
  const who = someone(conflict, trans);
  switch (conflict.kind) {
    case 'outputs':
      return trans.__('Outputs changed by %1 too', who);
    case 'metadata':
      return place === 'cell'
        ? trans.__('Metadata changed by %1 too', who)
        : trans.__('Metadata of the notebook changed by %1 too', who);
    case 'cell_type':
      return trans.__('Cell type changed by %1 too', who);
    case 'attachments':
      return trans.__('Attachments changed by %1 too', who);
    case 'invalid':
      return trans.__('Replaced by %1 with something that cannot be read', who);
    case 'deleted':
      if (place === 'gone') {
        return trans.__('A cell deleted here was changed by %1', who);
      }
      return conflict.theirs === null
        ? trans.__('Deleted by %1, changed here', who)
        : trans.__('Changed by %1 too', who);
    default:
      return trans.__('Changed by %1 too', who);
  }
}

/** Where it is: `index` counts cells from 0. */
export function describePlace(place: Place, index: number, trans: Translate): string {
  switch (place) {
    case 'cell':
      return trans.__('Cell %1', index + 1);
    case 'gone':
      return trans.__('A deleted cell');
    case 'file':
      return trans.__('The file');
    case 'notebook':
      return trans.__('The notebook');
  }
}

/** What to know before deciding; empty where the comparison says it all. */
export function describeChoice(conflict: IConflict, use: Use | null, trans: Translate): string {
  if (use === 'delete') {
    return trans.__('The cell is still here, as it was changed here.');
  }
  if (use !== null) {
    return '';
  }
  const value = conflict.kind === 'cell_type' || conflict.kind === 'metadata' ? conflict.theirs : null;
  if (value !== null) {
    return trans.__('The notebook has stayed as it was here. Theirs: %1', value);
  }
  return conflict.copy === ''
    ? trans.__('The document has stayed as it was here.')
    : trans.__('The document has stayed as it was here. Their version is in %1.', conflict.copy);
}

export function describeUse(use: Use, trans: Translate): string {
  switch (use) {
    case 'replace':
      return trans.__('Use their version');
    case 'insert':
      return trans.__('Insert their cell');
    case 'delete':
      return trans.__('Delete the cell');
  }
}

/** What became of taking their version; empty where it is there to be seen. JupyterLab cuts it at 140 characters. */
export function describeOutcome(outcome: Outcome, conflict: IConflict, trans: Translate): string {
  switch (outcome) {
    case 'taken':
      return '';
    case 'late':
      return trans.__('Somebody else has just decided on this.');
    case 'lost':
      return conflict.copy === ''
        ? trans.__('Their version was not taken over: the document changed in that moment.')
        : trans.__(
            'Not taken over: the document changed in that moment. Their version is in %1.',
            conflict.copy
          );
  }
}

/** What the status bar says. */
export function describeCount(count: number, trans: Translate): string {
  return trans._n('%1 conflict', '%1 conflicts', count);
}

const TITLE_CHARS = 40;

/** What the notification says of the document `name`. JupyterLab cuts it at 140 characters. */
export function describeNews(name: string, count: number, trans: Translate): string {
  return trans._n(
    '“%2” was changed elsewhere too. %1 change could not be merged; what you see has stayed.',
    '“%2” was changed elsewhere too. %1 changes could not be merged; what you see has stayed.',
    count,
    name.length > TITLE_CHARS ? `${name.slice(0, TITLE_CHARS - 1)}…` : name
  );
}
