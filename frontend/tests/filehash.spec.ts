import { YNotebook } from '@jupyter/ydoc';
import { Signal } from '@lumino/signaling';
import { beforeEach, expect, it } from 'vitest';

import { forgetFile } from '../src/filehash';
import { Room } from '../src/rooms';
import { statusMessage } from './data';

/** What `RtcContentProvider` and the context make of a hash that the document's state is said to have. */
class Opened {
  readonly model = { sharedModel: YNotebook.create() };
  readonly fileChanged = new Signal<this, object>(this);
  readonly saveState = new Signal<this, string>(this);
  readonly disposed = new Signal<this, void>(this);
  readonly ready = Promise.resolve();
  isReady = true;
  lastModifiedCheckMargin = 500;
  contentsModel: { hash?: unknown } = { hash: 'first' };
  asked = 0;

  constructor() {
    this.model.sharedModel.changed.connect((_, { stateChange }) => {
      const change = stateChange?.find(({ name }) => name === 'hash');
      if (change !== undefined) {
        this.asked += 1;
        this.contentsModel = { hash: change.newValue };
        this.fileChanged.emit(this.contentsModel);
      }
    });
  }

  saved(hash: string): void {
    this.contentsModel = { hash };
    this.saveState.emit('completed');
  }
}

let opened: Opened;
let room: Room;

beforeEach(() => {
  opened = new Opened();
  room = new Room(opened.model.sharedModel);
  forgetFile(opened as never, room);
});

it('has nothing to compare the file with, neither at first nor after any save', () => {
  room.onMessage(statusMessage({}));
  expect(opened.contentsModel.hash).toBeUndefined();
  for (const hash of ['second', 'second', 'third']) {
    opened.saved(hash);
    expect(opened.contentsModel.hash).toBeUndefined();
  }
  expect(opened.asked).toBe(4);
  expect(opened.lastModifiedCheckMargin).toBe(Infinity);
});

it('leaves alone what a stock server serves, and what is not there yet', async () => {
  opened.saved('second');
  await opened.ready;
  expect(opened.contentsModel.hash).toBe('second');
  opened.isReady = false;
  room.onMessage(statusMessage({}));
  expect(opened.asked).toBe(0);
  expect(opened.lastModifiedCheckMargin).toBe(500);
});
