import type { IConflict } from '../../src/conflicts/record';

/** A conflict with everything said, in a cell. */
export function conflict(fields: Partial<IConflict> = {}): IConflict {
  return {
    key: 'k',
    cell: 'a',
    kind: 'source',
    copy: 'copy.ipynb',
    at: 7,
    who: '',
    theirs: 'theirs',
    ...fields
  };
}
