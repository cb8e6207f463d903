/** Preview mode: a document that may be read but not edited. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, Notification, showDialog } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import type { DocumentRegistry, DocumentWidget } from '@jupyterlab/docregistry';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import type { IBannerButton } from './banner';
import { Banner } from './banner';
import { copyDocument } from './copy';
import { describePreview, describeStop } from './describe';
import { FACTORIES, isDocument } from './documents';
import { onNewParts, setEditable } from './editable';
import { Offer } from './offer';
import { takePen } from './pen';
import { reopen } from './reopen';
import type { IRoomState, Stop } from './state';
import { isParting, mayEdit } from './state';
import type { IRoom } from './tokens';
import { IRoomStatusTracker } from './tokens';

const ID = '@cs3collab/frontend:preview';
const CREATE_COPY = 'cs3collab:create-copy';

/** What a document's widget needs of the application. */
interface IActions {
  readonly trans: TranslationBundle;
  readonly copy: (context: DocumentRegistry.Context) => Promise<void>;
  readonly edit: (context: DocumentRegistry.Context) => Promise<void>;
  readonly reopen: (widget: DocumentWidget) => Promise<void>;
}

/** Keeps one widget in step with its room. */
class PreviewMode {
  constructor(
    private readonly _widget: DocumentWidget,
    private readonly _room: IRoom,
    private readonly _actions: IActions
  ) {
    const { trans } = _actions;
    this._edit = { label: trans.__('Edit now'), onClick: () => void _actions.edit(_widget.context) };
    const copy = { label: trans.__('Create a copy'), onClick: () => void _actions.copy(_widget.context) };
    this._banner = new Banner(copy);
    this._offer = new Offer(this._edit.label, this._edit.onClick);
    _widget.contentHeader.addWidget(this._banner);
    const update = (): void => this._update(_room.state);
    _room.changed.connect(update);
    onNewParts(_widget, update);
    _widget.disposed.connect(() => {
      _room.changed.disconnect(update);
      this._offer.words = null;
    });
    update();
  }

  private _update(state: IRoomState): void {
    const editable = mayEdit(state);
    if (!editable || !this._editable) {
      setEditable(this._widget, editable);
      this._editable = editable;
    }
    const offered = state.connected && state.stopped === null && state.status?.offered === true;
    this._banner.say(this._words(state), offered ? this._edit : this._again(state));
    this._offer.words = offered
      ? this._actions.trans.__('“%1” can be edited now.', this._widget.context.localPath)
      : null;
    const { stopped } = state;
    const waits = stopped !== null && !isParting(state);
    if (waits && !this._asked) {
      void this._ask(stopped);
    }
    this._asked = waits;
  }

  /** For who has closed the dialog without a decision. */
  private _again({ stopped }: IRoomState): IBannerButton | null {
    const { trans } = this._actions;
    if (stopped === null) {
      return null;
    }
    if (stopped.kind !== 'parted') {
      return { label: trans.__('Open again…'), onClick: () => void this._ask(stopped) };
    }
    return stopped.failure === null
      ? null
      : { label: trans.__('Try again'), onClick: () => this._room.bringInAgain() };
  }

  private _words(state: IRoomState): string | null {
    if (state.stopped !== null) {
      return describeStop(state.stopped, this._actions.trans);
    }
    return state.status?.role === 'viewer' ? describePreview(state.status, this._actions.trans) : null;
  }

  /** What is on the screen is not what the others see any more: keep it as a copy or leave it, then open the document anew. */
  private async _ask(stopped: Stop): Promise<void> {
    const { trans, copy, reopen } = this._actions;
    const why = describeStop(stopped, trans);
    const isParted = stopped.kind === 'parted';
    const { button } = await showDialog({
      title: isParted
        ? trans.__('What you typed is not in “%1” yet', this._widget.context.localPath)
        : trans.__('“%1” has to be opened again', this._widget.context.localPath),
      body: isParted
        ? trans.__(
            '%1 Try again, create a copy to keep what you see here, or open the document again without what you typed.',
            why
          )
        : trans.__(
            '%1 Create a copy to keep what you see here, or open the document again as it is for everybody.',
            why
          ),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Not now') }),
        Dialog.createButton({ accept: false, label: trans.__('Create a copy'), actions: ['copy'] }),
        Dialog.createButton({ accept: !isParted, label: trans.__('Open again'), actions: ['reopen'] }),
        ...(isParted ? [Dialog.okButton({ label: trans.__('Try again'), actions: ['again'] })] : [])
      ]
    });
    if (this._widget.isDisposed) {
      return;
    }
    if (button.actions.includes('copy')) {
      await copy(this._widget.context);
    } else if (button.actions.includes('reopen')) {
      await reopen(this._widget);
    } else if (button.actions.includes('again')) {
      this._room.bringInAgain();
    }
  }

  private _editable = true;
  private _asked = false;
  private readonly _edit: IBannerButton;
  private readonly _banner: Banner;
  private readonly _offer: Offer;
}

export const preview: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Keeps readers from editing, says why, and offers a copy.',
  autoStart: true,
  requires: [IRoomStatusTracker, IDocumentManager],
  optional: [ISettingRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tracker: IRoomStatusTracker,
    documents: IDocumentManager,
    settings: ISettingRegistry | null,
    translator: ITranslator | null
  ) => {
    const trans = (translator ?? nullTranslator).load('cs3collab');

    const copy = async (context: DocumentRegistry.Context): Promise<void> => {
      try {
        const stored = await settings?.get(ID, 'copyFolder');
        const folder = typeof stored?.composite === 'string' ? stored.composite : '';
        const path = await copyDocument(app.serviceManager.contents, context, folder);
        documents.openOrReveal(path);
        Notification.success(trans.__('The copy is in your home: %1', path), { autoClose: 8000 });
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        Notification.error(trans.__('The copy could not be made: %1', why), { autoClose: false });
      }
    };
    const edit = async (context: DocumentRegistry.Context): Promise<void> => {
      try {
        await takePen(context, app.serviceManager.serverSettings);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        Notification.warning(trans.__('You cannot edit this document now: %1', why), { autoClose: 8000 });
      }
    };
    const actions: IActions = { trans, copy, edit, reopen: widget => reopen(app.shell, documents, widget) };

    app.commands.addCommand(CREATE_COPY, {
      label: trans.__('Create a Copy in My Home'),
      isEnabled: () => current() !== undefined,
      execute: async () => {
        const context = current();
        if (context !== undefined) {
          await copy(context);
        }
      }
    });
    const current = (): DocumentRegistry.Context | undefined =>
      app.shell.currentWidget === null ? undefined : documents.contextForWidget(app.shell.currentWidget);

    for (const factory of FACTORIES) {
      app.docRegistry.addWidgetExtension(factory, {
        createNew: widget => {
          const room = isDocument(widget) ? tracker.get(widget.context.model.sharedModel) : undefined;
          if (isDocument(widget) && room !== undefined) {
            new PreviewMode(widget, room, actions);
          }
        }
      });
    }
  }
};
