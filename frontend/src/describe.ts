/** The words for a room's state. Pure. */

import type { TranslationBundle } from '@jupyterlab/translation';

import type { IRoomState } from './state';
import type { IRoomStatus } from './status';

export type Level = 'ok' | 'busy' | 'info' | 'warning' | 'error';

export interface IDescription {
  readonly label: string;
  /** Details, one per line. */
  readonly title: string;
  readonly level: Level;
}

export type Translate = Pick<TranslationBundle, '__' | '_n'>;

type Headline = Omit<IDescription, 'title'>;

function headline(state: IRoomState, status: IRoomStatus, trans: Translate): Headline {
  const unsaved = status.pending + state.unsent;
  if (!state.connected || !status.online) {
    return unsaved > 0
      ? { level: 'warning', label: trans._n('Offline: %1 unsaved edit', 'Offline: %1 unsaved edits', unsaved) }
      : { level: 'warning', label: trans.__('Offline') };
  }
  if (status.role === 'viewer') {
    return { level: 'info', label: trans.__('Preview mode · %1', status.home) };
  }
  if (status.problem !== '') {
    return { level: 'error', label: trans.__('Not saved: %1', status.problem) };
  }
  if (status.pending > 0 || state.awaiting !== null) {
    return { level: 'busy', label: trans.__('Sending edits…') };
  }
  if (status.savedPosition < status.position) {
    return { level: 'busy', label: trans.__('Edits stored, saving… (position %1)', status.position) };
  }
  return { level: 'ok', label: trans.__('Saved · %1', status.home) };
}

function whoReached(state: IRoomState, status: IRoomStatus, trans: Translate): string {
  if (!state.connected) {
    return trans.__('Your Jupyter server cannot be reached. Edits are kept in this browser tab; do not close it.');
  }
  if (!status.online) {
    return trans.__('The home site cannot be reached. Edits are kept by your Jupyter server and sent when it is back.');
  }
  return '';
}

function details(state: IRoomState, status: IRoomStatus, trans: Translate, when: (s: number) => string): string {
  const lines = [
    whoReached(state, status, trans),
    status.problem,
    status.reason,
    trans.__('Home site: %1', status.home),
    trans.__('Stored up to position %1, in the file up to %2', status.position, status.savedPosition)
  ];
  if (status.savedAt > 0) {
    lines.push(
      status.savedBy === ''
        ? trans.__('Last saved: %1', when(status.savedAt))
        : trans.__('Last saved: %1, by %2', when(status.savedAt), status.savedBy)
    );
  }
  return lines.filter(line => line !== '').join('\n');
}

/** What the status bar says, or null when nothing is known. `when` writes Unix seconds for people. */
export function describe(
  state: IRoomState,
  trans: Translate,
  when: (seconds: number) => string
): IDescription | null {
  const status = state.status;
  if (status === null) {
    return null;
  }
  return { ...headline(state, status, trans), title: details(state, status, trans, when) };
}
