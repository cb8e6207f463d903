/** What other extensions may use. */

import type { DocumentChange, YDocument } from '@jupyter/ydoc';
import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';

import type { IRoomState } from './state';

export type SharedDocument = YDocument<DocumentChange>;

/** One live document as this browser sees it. */
export interface IRoom {
  readonly state: IRoomState;
  readonly changed: ISignal<IRoom, IRoomState>;
  /** The document as the text of its file when all of it was there, null if that is not known. */
  readonly base: string | null;
  /** To be called when what is here could not be brought into the document that the server started anew. */
  notBroughtIn(why: string): void;
  /** Has it tried again. */
  bringInAgain(): void;
}

/** The rooms that are open, by shared model: a model keeps its identity when its file is renamed. */
export interface IRoomStatusTracker {
  /** The room of a document, or undefined if the document is not collaborative. */
  get(sharedModel: object): IRoom | undefined;
}

export const IRoomStatusTracker = new Token<IRoomStatusTracker>(
  '@cs3collab/frontend:IRoomStatusTracker',
  'Where each live document is saved, and what this person may do with it.'
);
