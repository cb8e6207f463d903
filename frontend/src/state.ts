/** What this browser knows of a room: the server's last word and the edits made since. Pure. */

import type { IRoomStatus } from './status';

export interface IRoomState {
  /** The server's last word, null as long as it has said nothing. */
  readonly status: IRoomStatus | null;
  /** Whether the server has spoken on the present connection. */
  readonly connected: boolean;
  /** Edits made here while the Jupyter server could not be reached. */
  readonly unsent: number;
  /** Position at the first edit made here that no later position has confirmed, or null. */
  readonly awaiting: number | null;
}

export type RoomEvent =
  | { readonly type: 'status'; readonly status: IRoomStatus }
  | { readonly type: 'edited' }
  | { readonly type: 'closed' };

export const UNKNOWN: IRoomState = { status: null, connected: false, unsent: 0, awaiting: null };

function edited(state: IRoomState): IRoomState {
  if (state.status === null || state.status.role !== 'editor') {
    return state;
  }
  return state.connected
    ? { ...state, awaiting: state.awaiting ?? state.status.position }
    : { ...state, unsent: state.unsent + 1 };
}

function heard(state: IRoomState, status: IRoomStatus): IRoomState {
  const resent = state.unsent > 0 ? (state.status?.position ?? null) : null;
  const base = state.awaiting ?? resent;
  const waiting = status.role === 'editor' && base === status.position;
  return { status, connected: true, unsent: 0, awaiting: waiting ? base : null };
}

/** The state after an event. A room of which the server said nothing (a stock server) stays unknown. */
export function reduce(state: IRoomState, event: RoomEvent): IRoomState {
  switch (event.type) {
    case 'status':
      return heard(state, event.status);
    case 'edited':
      return edited(state);
    case 'closed':
      return { ...state, connected: false };
  }
}
