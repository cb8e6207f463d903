/** Names of the files that keep a version of a document that could not be written. Pure. */

/** `cs3api4lab`: in the person's home, wherever the document is. `cs3collab`: beside the document, which has a note of it too. */
export type Origin = 'cs3api4lab' | 'cs3collab';

export interface ICopyName {
  readonly origin: Origin;
  /** The names that the original may have, at least one, the likeliest first. */
  readonly originals: readonly string[];
  readonly at: Date;
}

// `_get_conflict_filename` of Cs3api4Lab (cs3api4lab/locks/base.py); the time is that of its server, whose zone is not told.
const CS3API4LAB = /^(.+)\.(\d{4})-(\d\d)-(\d\d)_(\d\d)_(\d\d)_(\d\d)-conflict\.([^.]+)$/s;
// `conflict_name` in cs3collab/rooms/saving.py; UTC.
const CS3COLLAB = /^(.+)\.conflict-(\d{4})-(\d\d)-(\d\d)T(\d\d)-(\d\d)-(\d\d)-[^.]+(\.[^.]+|)$/s;

function numbers(match: RegExpExecArray): [number, number, number, number, number, number] {
  const [year, month, day, hour, minute, second] = match.slice(2, 8).map(Number);
  return [year, month - 1, day, hour, minute, second];
}

/** Both the name and the user's may have dashes. Users' seldom do, so the last dash is tried first. */
function cs3api4labOriginals(head: string, extension: string): string[] {
  const found: string[] = [];
  for (
    let dash = head.lastIndexOf('-');
    dash >= 0;
    dash = dash === 0 ? -1 : head.lastIndexOf('-', dash - 1)
  ) {
    if (dash < head.length - 1) {
      // Of a name without a dot it takes all for the extension.
      found.push(dash === 0 ? extension : `${head.slice(0, dash)}.${extension}`);
    }
  }
  return found;
}

/** What the name of a file says, or null if it is not that of such a copy. */
export function parseCopy(name: string): ICopyName | null {
  const theirs = CS3API4LAB.exec(name);
  if (theirs !== null) {
    const originals = cs3api4labOriginals(theirs[1], theirs[8]);
    const at = new Date(...numbers(theirs));
    return originals.length === 0 ? null : { origin: 'cs3api4lab', originals, at };
  }
  const ours = CS3COLLAB.exec(name);
  if (ours === null) {
    return null;
  }
  const at = new Date(Date.UTC(...numbers(ours)));
  return { origin: 'cs3collab', originals: [`${ours[1]}${ours[8]}`], at };
}

/** When the copy was made if it may be one of the document `name`, else null. `among`: the names of the files beside the document. */
export function copyOf(copy: string, name: string, among: ReadonlySet<string>): ICopyName | null {
  const parsed = parseCopy(copy);
  const rank = parsed?.originals.indexOf(name) ?? -1;
  // `a-b-c` may be what c has of a-b; if that is there, it is not what b-c has of a.
  const isOthers = parsed?.originals.slice(0, Math.max(rank, 0)).some(other => among.has(other)) ?? false;
  return rank < 0 || isOthers ? null : parsed;
}
