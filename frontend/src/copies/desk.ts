/** Merges copies into their documents, and asks what to do with them. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { DocumentRegistry } from '@jupyterlab/docregistry';

import { clock } from '../clock';
import type { Translate } from '../describe';
import type { IMerged } from '../merging';
import { bringIn } from '../merging';
import type { IRoom } from '../tokens';
import type { IFound } from './find';
import { copiesOf, split } from './find';
import { describeFound, describeMerged } from './words';

type Context = DocumentRegistry.Context;

/** The offer goes from the screen then; the bell in the status bar keeps it. */
const OFFER_MS = 60_000;

function why(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export class CopyDesk {
  constructor(
    private readonly _app: JupyterFrontEnd,
    private readonly _documents: IDocumentManager,
    private readonly _trans: Translate
  ) {}

  /** Looks for copies of a document once its person may edit it, and offers to merge the newest. */
  follow(context: Context, room: IRoom): void {
    const look = (): void => {
      if (room.state.status?.role === 'editor') {
        room.changed.disconnect(look);
        void this._offer(context);
      }
    };
    context.disposed.connect(() => room.changed.disconnect(look));
    void context.ready.then(() => {
      room.changed.connect(look);
      look();
    });
  }

  /** Nobody has to be asked about this copy. */
  answered(copy: string): void {
    this._answered.add(copy);
  }

  /** Says how it went; rejects never. */
  async merge(context: Context, copy: string): Promise<void> {
    const name = split(context.localPath)[1];
    try {
      const merged = await bringIn(context, { copy }, this._app.serviceManager.serverSettings);
      this._tell(name, merged, copy);
    } catch (error) {
      const words = this._trans.__('The copy could not be merged into “%1”: %2', name, why(error));
      Notification.error(words, { autoClose: false });
    }
  }

  private async _offer(context: Context): Promise<void> {
    const { contents } = this._app.serviceManager;
    const found = await copiesOf(contents, context.localPath);
    const unanswered = found.filter(({ path }) => !this._answered.has(path));
    const newest = unanswered.at(0);
    if (newest !== undefined && !context.isDisposed) {
      this._ask(context, newest, unanswered.length - 1);
    }
  }

  private _ask(context: Context, { path, at }: IFound, more: number): void {
    const name = split(context.localPath)[1];
    const answer = (then: () => void) => (): void => {
      this._answered.add(path);
      then();
    };
    const merge = answer(() => void this.merge(context, path).then(() => this._offer(context)));
    const open = answer(() => void this._documents.openOrReveal(path));
    const id = Notification.info(describeFound(name, at, more, this._trans, clock), {
      autoClose: OFFER_MS,
      actions: [
        { label: this._trans.__('Merge'), caption: path, displayType: 'accent', callback: merge },
        { label: this._trans.__('Open'), caption: path, callback: open },
        { label: this._trans.__('Not now'), caption: path, callback: answer(() => undefined) }
      ]
    });
    context.disposed.connect(() => Notification.dismiss(id));
  }

  /** The copy may go, unless people still have to compare with it. What conflicts is told where it is shown. */
  private _tell(name: string, merged: IMerged, copy: string): void {
    const label = this._trans.__('Delete the copy');
    const remove = { label, caption: copy, callback: (): void => void this._delete(copy) };
    const isNeeded = merged.conflicts > 0 && merged.copy === split(copy)[1];
    const words = describeMerged(name, merged, this._trans);
    const options = isNeeded
      ? { autoClose: 10_000 as const }
      : { autoClose: false as const, actions: [remove] };
    if (merged.conflicts === 0) {
      Notification.success(words, options);
    } else {
      Notification.warning(words, options);
    }
  }

  private async _delete(path: string): Promise<void> {
    try {
      await this._documents.deleteFile(path);
    } catch (error) {
      const words = this._trans.__('%1 could not be deleted: %2', split(path)[1], why(error));
      Notification.error(words, { autoClose: false });
    }
  }

  /** The copies about which this person has decided; they are not asked again while the page is open. */
  private readonly _answered = new Set<string>();
}
