/** The words for a room's state. Pure. */

import type { TranslationBundle } from '@jupyterlab/translation';

import type { IRoomState, Stop } from './state';
import { isKept, isSaved } from './state';
import type { IRoomStatus } from './status';

/** `kept`: not in the file yet, and safe. */
export type Level = 'ok' | 'kept' | 'busy' | 'info' | 'warning' | 'error';

export interface IDescription {
  readonly label: string;
  /** Details, one per line. */
  readonly title: string;
  readonly level: Level;
}

export type Translate = Pick<TranslationBundle, '__' | '_n'>;

/** Writes Unix seconds for people: `time` is short, `date` is complete. */
export interface IClock {
  time(seconds: number): string;
  date(seconds: number): string;
}

type Headline = Omit<IDescription, 'title'>;

const PROBLEM_CHARS = 60;

function shorten(text: string): string {
  return text.length > PROBLEM_CHARS ? `${text.slice(0, PROBLEM_CHARS - 1)}…` : text;
}

/** What stopped this copy, in one sentence. */
export function describeStop(stop: Stop, trans: Translate): string {
  if (stop.kind === 'refused') {
    return trans.__('Your last edits were not accepted, for you may only read this document now.');
  }
  if (stop.kind === 'parted') {
    return stop.failure === null
      ? trans.__('The document was started anew on the server. What you typed is being brought in…')
      : trans.__(
          'The document was started anew on the server, and what you typed could not be brought in: %1.',
          stop.failure
        );
  }
  return stop.reason === ''
    ? trans.__('The server closed this copy of the document.')
    : trans.__('The server cannot go on with this copy of the document (%1).', stop.reason);
}

/** How `Stand.seen_by` in cs3collab/rooms/pen.py begins when somebody edits on another server. */
const EDITED = 'this file is being edited ';

/** What the banner of preview mode says. */
export function describePreview(status: IRoomStatus, trans: Translate): string {
  if (status.offered) {
    return trans.__('Preview mode: %1. You can edit it now.', status.reason);
  }
  if (status.reason.startsWith(EDITED)) {
    const whom = status.reason.slice(EDITED.length);
    return trans.__('This file is being edited %1: stay in preview mode, or create a copy', whom);
  }
  if (status.reason !== '') {
    return trans.__('Preview mode: %1', status.reason);
  }
  return status.holder === ''
    ? trans.__('Preview mode: you may read this document, not edit it')
    : trans.__('Preview mode: %1 is editing', status.holder);
}

function headline(state: IRoomState, status: IRoomStatus, trans: Translate, clock: IClock): Headline {
  const unsaved = status.pending + state.unsent;
  if (state.stopped !== null) {
    return { level: 'error', label: trans.__('Stopped') };
  }
  if (!state.connected || !status.online) {
    return unsaved > 0
      ? {
          level: 'warning',
          label: trans._n('Offline, %1 edit unsaved', 'Offline, %1 edits unsaved', unsaved)
        }
      : { level: 'warning', label: trans.__('Offline') };
  }
  if (status.role === 'viewer') {
    return { level: 'info', label: trans.__('Preview mode') };
  }
  if (state.saves > 0) {
    return { level: 'busy', label: trans.__('Saving…') };
  }
  if (status.problem !== '') {
    // It may also tell what happened to the file while all there is was saved.
    return isSaved(state)
      ? { level: 'warning', label: shorten(status.problem) }
      : { level: 'error', label: trans.__('Not saved: %1', shorten(status.problem)) };
  }
  return progress(state, status, trans, clock);
}

/** How far edits have come where nothing is in their way. */
function progress(state: IRoomState, status: IRoomStatus, trans: Translate, clock: IClock): Headline {
  const time = status.savedAt > 0 ? clock.time(status.savedAt) : '';
  if (!isKept(state)) {
    return { level: 'busy', label: trans.__('Sending…') };
  }
  if (!isSaved(state)) {
    const label =
      time === '' ? trans.__('Connected · edits kept') : trans.__('Edits kept · file saved at %1', time);
    return { level: 'kept', label };
  }
  return { level: 'ok', label: time === '' ? trans.__('Connected · saved') : trans.__('Saved at %1', time) };
}

/** Where the edits are that are not in the file. */
function whereEdits(state: IRoomState, status: IRoomStatus, trans: Translate): string {
  if (state.stopped !== null) {
    return describeStop(state.stopped, trans);
  }
  if (!state.connected) {
    return trans.__(
      'Your Jupyter server cannot be reached. Edits are kept in this browser tab; do not close it.'
    );
  }
  if (!status.online) {
    return trans.__(
      'The home site cannot be reached. Edits are kept by your Jupyter server and sent when it is back.'
    );
  }
  if (status.role === 'editor' && status.problem === '' && isKept(state) && !isSaved(state)) {
    return trans.__(
      'All edits are safe on disk at the home site and come into the file by themselves. Save to have them there at once.'
    );
  }
  return '';
}

function lastSave(status: IRoomStatus, trans: Translate, clock: IClock): string {
  if (status.savedAt === 0) {
    return '';
  }
  const when = clock.date(status.savedAt);
  return status.savedBy === ''
    ? trans.__('Last saved: %1', when)
    : trans.__('Last saved: %1, by %2', when, status.savedBy);
}

function details(state: IRoomState, status: IRoomStatus, trans: Translate, clock: IClock): string {
  const lines = [
    whereEdits(state, status, trans),
    status.problem,
    status.role === 'viewer' ? describePreview(status, trans) : status.reason,
    status.home === '' ? '' : trans.__('Home site: %1', status.home),
    trans.__(
      'Edits are stored up to position %1; the file has them up to %2',
      status.position,
      status.savedPosition
    ),
    lastSave(status, trans, clock),
    status.holder === '' ? '' : trans.__('Locked by: %1', status.holder),
    status.etag === '' ? '' : trans.__('Version of the file (etag): %1', status.etag)
  ];
  return lines.filter(line => line !== '').join('\n');
}

/** What the status bar says, or null when the server has said nothing. */
export function describe(state: IRoomState, trans: Translate, clock: IClock): IDescription | null {
  const status = state.status;
  if (status === null) {
    return null;
  }
  const head = headline(state, status, trans, clock);
  const label = status.home === '' ? head.label : `${head.label} · ${status.home}`;
  return { ...head, label, title: details(state, status, trans, clock) };
}
