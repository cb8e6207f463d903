/** The live rooms and their signals. */

import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import type { Doc, Transaction } from 'yjs';

import { Basis } from './basis';
import { isEdit } from './edits';
import { WriteGuard } from './guard';
import { rawText } from './raw';
import type { ISocketListener } from './socket';
import type { IRoomState, RoomEvent } from './state';
import { isSaved, mayEdit, reduce, UNKNOWN } from './state';
import { isOtherHistory, parseSaveFailure, parseStatus, rejection } from './status';
import type { IRoom, IRoomStatusTracker, SharedDocument } from './tokens';

/** A room, fed by its websocket and its Y document. Closes the document to local writes while this person may not edit. */
export class Room implements IRoom, ISocketListener {
  /** Connects anew. Called when the server may lack what was written here while it accepted nothing, now that it would. */
  onGap: () => void = () => undefined;

  constructor(sharedModel: SharedDocument) {
    this._guard = new WriteGuard(sharedModel);
    this._basis = new Basis(sharedModel);
    const stateMap = sharedModel.ystate;
    sharedModel.ydoc.on(
      'update',
      (_update: Uint8Array, _origin: unknown, _doc: Doc, transaction: Transaction) => {
        this._stray ||= transaction.local && this._state.status?.role !== 'editor';
        if (isEdit(transaction, stateMap)) {
          this._feed({ type: 'edited' });
        }
      }
    );
    sharedModel.disposed.connect(() => Signal.clearData(this));
  }

  get state(): IRoomState {
    return this._state;
  }

  get changed(): ISignal<this, IRoomState> {
    return this._changed;
  }

  get base(): string | null {
    return this._basis.text;
  }

  /** The document is here. */
  loaded(): void {
    this._basis.loaded();
  }

  notBroughtIn(why: string): void {
    this._feed({ type: 'parted', failure: why });
  }

  bringInAgain(): void {
    if (this._state.stopped?.kind === 'parted') {
      this._feed({ type: 'parted', failure: null });
    }
  }

  /** Runs a save of the stock provider, which knows that a save failed, not why. */
  async save(stock: () => Promise<void>): Promise<void> {
    this._saveFailure = '';
    this._feed({ type: 'saving' });
    try {
      await stock();
    } catch (error) {
      const why = this._saveFailure;
      throw new Error(why === '' ? String(error) : why.charAt(0).toUpperCase() + why.slice(1));
    } finally {
      this._feed({ type: 'saved' });
    }
  }

  onMessage(data: unknown): void {
    const text = rawText(data);
    if (text === null) {
      return;
    }
    this._saveFailure = parseSaveFailure(text) ?? this._saveFailure;
    const status = parseStatus(text);
    if (status !== null) {
      const wasViewer = this._state.status?.role === 'viewer';
      this._feed({ type: 'status', status });
      this._closeGap(wasViewer);
    }
  }

  onClose(code: number, reason: string): boolean {
    this._basis.closed();
    const why = this._state.status === null ? null : rejection(code, reason);
    if (why === null) {
      this._feed({ type: 'closed' });
    } else if (isOtherHistory(code, reason)) {
      this._feed({ type: 'parted', failure: null });
    } else {
      this._feed({ type: 'rejected', reason: why });
    }
    return why !== null;
  }

  /** Yjs counts the writes of a client: where the server lacks one it keeps the later ones back. */
  private _closeGap(wasViewer: boolean): void {
    if (this._state.status?.role === 'editor') {
      const gap = this._stray && wasViewer && mayEdit(this._state);
      this._stray = false;
      if (gap) {
        this.onGap();
      }
    }
  }

  private _feed(event: RoomEvent): void {
    const next = reduce(this._state, event);
    if (next !== this._state) {
      this._state = next;
      this._guard.closed = !mayEdit(next);
      this._basis.saved = isSaved(next);
      this._changed.emit(next);
    }
  }

  private _state: IRoomState = UNKNOWN;
  private _saveFailure = '';
  /** Whether something was written here that the server need not have accepted. */
  private _stray = false;
  private readonly _guard: WriteGuard;
  private readonly _basis: Basis;
  private readonly _changed = new Signal<this, IRoomState>(this);
}

/** The rooms that are open. Forgets a room with its shared model. */
export class RoomStatusTracker implements IRoomStatusTracker {
  get(sharedModel: object): Room | undefined {
    return this._rooms.get(sharedModel);
  }

  open(sharedModel: SharedDocument): Room {
    const room = new Room(sharedModel);
    this._rooms.set(sharedModel, room);
    return room;
  }

  private readonly _rooms = new WeakMap<object, Room>();
}
