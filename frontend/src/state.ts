/** What this browser knows of a room: the server's last word and the edits made since. Pure. */

import type { IRoomStatus } from './status';

/** Why this copy of the document no longer follows the room. */
export type Stop =
  /** Edits in it were refused. */
  | { readonly kind: 'refused' }
  /** The server started the document anew. `failure`: why what is here could not be brought in; null: it has not failed. */
  | { readonly kind: 'parted'; readonly failure: string | null }
  /** The server closed it. */
  | { readonly kind: 'closed'; readonly reason: string };

export interface IRoomState {
  /** The server's last word, null as long as it has said nothing. */
  readonly status: IRoomStatus | null;
  /** Whether the server has spoken on the present connection. */
  readonly connected: boolean;
  /** Edits made here while the Jupyter server could not be reached. */
  readonly unsent: number;
  /** Position at the first edit made here that no later position has confirmed, or null. */
  readonly awaiting: number | null;
  /** Saves that this person asked for and that are under way. */
  readonly saves: number;
  /** Set once, for good: only opening the document anew brings a copy that is like the room. */
  readonly stopped: Stop | null;
}

export type RoomEvent =
  | { readonly type: 'status'; readonly status: IRoomStatus }
  | { readonly type: 'edited' }
  | { readonly type: 'closed' }
  | { readonly type: 'saving' }
  | { readonly type: 'saved' }
  | { readonly type: 'parted'; readonly failure: string | null }
  | { readonly type: 'rejected'; readonly reason: string };

export const UNKNOWN: IRoomState = {
  status: null,
  connected: false,
  unsent: 0,
  awaiting: null,
  saves: 0,
  stopped: null
};

/** Whether edits may be made here. A room of which the server said nothing (a stock server) may be edited. */
export function mayEdit(state: IRoomState): boolean {
  return state.stopped === null && (state.status === null || state.status.role === 'editor');
}

/** Whether what is here is being brought into the document that the server started anew. */
export function isParting(state: IRoomState): boolean {
  return state.stopped?.kind === 'parted' && state.stopped.failure === null;
}

/** Whether everything that was written here is known to be durable at the home site. */
export function isKept({ status, connected, unsent, awaiting }: IRoomState): boolean {
  return status !== null && connected && unsent === 0 && awaiting === null && status.pending === 0;
}

/** Whether everything is known to be in the file: what was written here, and what the server has. */
export function isSaved(state: IRoomState): boolean {
  return isKept(state) && state.status !== null && state.status.savedPosition >= state.status.position;
}

function parted(state: IRoomState, failure: string | null): IRoomState {
  const isAsked = state.stopped !== null && state.stopped.kind !== 'parted';
  return { ...state, connected: false, stopped: isAsked ? state.stopped : { kind: 'parted', failure } };
}

function edited(state: IRoomState): IRoomState {
  if (state.status === null || !mayEdit(state)) {
    return state;
  }
  return state.connected
    ? { ...state, awaiting: state.awaiting ?? state.status.position }
    : { ...state, unsent: state.unsent + 1 };
}

/** Whether edits made here may have been on their way when the right to edit went. */
function lostEdits(state: IRoomState): boolean {
  return (
    state.unsent > 0 ||
    state.awaiting !== null ||
    (state.status?.role === 'editor' && state.status.pending > 0)
  );
}

function heard(state: IRoomState, status: IRoomStatus): IRoomState {
  if (status.role === 'viewer') {
    const stopped = state.stopped ?? (lostEdits(state) ? { kind: 'refused' as const } : null);
    return { ...state, status, connected: true, unsent: 0, awaiting: null, stopped };
  }
  const resent = state.unsent > 0 ? (state.status?.position ?? null) : null;
  const base = state.awaiting ?? resent;
  const drained = status.pending === 0 && (state.status?.pending ?? 0) > 0;
  const waiting = base === status.position && !drained;
  return { ...state, status, connected: true, unsent: 0, awaiting: waiting ? base : null };
}

/** The state after an event. A room of which the server said nothing (a stock server) stays unknown. */
export function reduce(state: IRoomState, event: RoomEvent): IRoomState {
  switch (event.type) {
    case 'status':
      return heard(state, event.status);
    case 'edited':
      return edited(state);
    case 'closed':
      return state.connected ? { ...state, connected: false } : state;
    case 'saving':
      return { ...state, saves: state.saves + 1 };
    case 'saved':
      return { ...state, saves: state.saves - 1 };
    case 'parted':
      return parted(state, event.failure);
    case 'rejected':
      return {
        ...state,
        connected: false,
        stopped: state.stopped ?? { kind: 'closed', reason: event.reason }
      };
  }
}
