/** What the server notes where somebody else changed the file too, and what can be done about it. Pure. */

export const KINDS = [
  'source',
  'outputs',
  'deleted',
  'metadata',
  'cell_type',
  'attachments',
  'invalid'
] as const;

export type Kind = (typeof KINDS)[number];

/** One place where this document and the file of somebody else differ. */
export interface IConflict {
  /** The key of the record; whoever resolves the conflict removes it. */
  readonly key: string;
  /** The id of the cell, empty for the whole document. */
  readonly cell: string;
  /** Null for a kind this version does not know. */
  readonly kind: Kind | null;
  /** The name of the file beside the document that has their version, else empty. */
  readonly copy: string;
  /** Unix seconds of their change, 0 if not known. */
  readonly at: number;
  /** Who changed it, empty if not known. */
  readonly who: string;
  /** Their source, or for a file their lines; null where there is none or it is too long. */
  readonly theirs: string | null;
}

/** Where a conflict is: in a cell, in one that is not in the notebook, in a text file, or in the notebook as a whole. */
export type Place = 'cell' | 'gone' | 'file' | 'notebook';

/** What taking their version does. */
export type Use = 'replace' | 'insert' | 'delete';

/**
 * What became of taking their version. `late`: somebody else has decided. `lost`: the document has changed, so that there is nothing
 * left to take it over into.
 */
export type Outcome = 'taken' | 'late' | 'lost';

const NAME_CHARS = 500;

function text(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, NAME_CHARS) : '';
}

/** A name of a file in the same folder, else empty: a record cannot point elsewhere. */
function fileName(value: unknown): string {
  const name = text(value);
  return /[/\\]/.test(name) || name === '.' || name === '..' ? '' : name;
}

/** The conflict in a record, or null if it is none. */
export function parseConflict(key: string, value: unknown): IConflict | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return null;
  }
  const fields = value as Record<string, unknown>;
  return {
    key,
    cell: text(fields.cell),
    kind: KINDS.find(kind => kind === fields.kind) ?? null,
    copy: fileName(fields.copy),
    at: typeof fields.at === 'number' && Number.isFinite(fields.at) && fields.at > 0 ? fields.at : 0,
    who: text(fields.who),
    theirs: typeof fields.theirs === 'string' ? fields.theirs : null
  };
}

/** `cells` are the ids of the cells, null for a text file. */
export function placeOf(conflict: IConflict, cells: readonly string[] | null): Place {
  if (conflict.cell === '' || cells === null) {
    return cells === null ? 'file' : 'notebook';
  }
  return cells.includes(conflict.cell) ? 'cell' : 'gone';
}

/** Whether their text is one that stands where ours does. Of a file the record has some lines; the copy has them all. */
export function isText(conflict: IConflict, place: Place): boolean {
  if (place === 'file') {
    return conflict.kind === 'source' && conflict.copy !== '';
  }
  const hasSource = conflict.kind === 'source' || conflict.kind === 'deleted';
  return hasSource && conflict.theirs !== null && place !== 'notebook';
}

/** What taking their version would do here, or null if it cannot be taken from the record. */
export function useOf(conflict: IConflict, place: Place): Use | null {
  if (place === 'cell' && conflict.kind === 'deleted' && conflict.theirs === null) {
    return 'delete';
  }
  if (!isText(conflict, place)) {
    return null;
  }
  return place === 'gone' ? 'insert' : 'replace';
}

/** In the order of the document, which begins with what is not in any of its cells. */
export function inOrder(
  conflicts: readonly IConflict[],
  cells: readonly string[] | null
): readonly IConflict[] {
  const index = (conflict: IConflict): number => (cells ?? []).indexOf(conflict.cell);
  return [...conflicts].sort(
    (a, b) => index(a) - index(b) || a.at - b.at || (a.key < b.key ? -1 : Number(a.key > b.key))
  );
}

/**
 * What people decide on at once: one record, or all that one other version of a text file left, for their lines are compared in
 * the file as a whole.
 */
export function inGroups(
  conflicts: readonly IConflict[],
  cells: readonly string[] | null
): readonly (readonly IConflict[])[] {
  const groups = new Map<string, IConflict[]>();
  for (const conflict of inOrder(conflicts, cells)) {
    const whole = cells === null && isText(conflict, 'file');
    const id = whole ? `copy ${conflict.copy}` : `key ${conflict.key}`;
    groups.set(id, [...(groups.get(id) ?? []), conflict]);
  }
  return [...groups.values()];
}

/** The path of `name` in the folder of the document at `path`. */
export function beside(path: string, name: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), path.indexOf(':')) + 1) + name;
}

/** Where a cell of `theirs` belongs among `ours`: behind the nearest cell before it that both have. Both are ids. */
export function placeAmong(ours: readonly string[], theirs: readonly string[], cell: string): number {
  const position = theirs.indexOf(cell);
  if (position < 0) {
    return ours.length;
  }
  const before = theirs
    .slice(0, position)
    .reverse()
    .find(id => ours.includes(id));
  return before === undefined ? 0 : ours.indexOf(before) + 1;
}
