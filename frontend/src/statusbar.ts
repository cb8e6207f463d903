/** The item in the status bar: whether the document is saved, and where. */

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStatusBar } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import { clock } from './clock';
import { comparedIn } from './conflicts/panel';
import type { IDescription, Level } from './describe';
import { describe } from './describe';
import { Steady } from './steady';
import type { IRoom } from './tokens';
import { IRoomStatusTracker } from './tokens';

const ID = '@cs3collab/frontend:status';

/** Whether it is to be read out: trouble and its end are; how far edits have come changes with every key. */
function isNews(before: string | undefined, now: Level | undefined): boolean {
  const isTrouble = (level: string | undefined): boolean => level === 'warning' || level === 'error';
  return before !== now && (isTrouble(before) || isTrouble(now));
}

class StatusItem extends Widget {
  constructor(private readonly _trans: TranslationBundle) {
    super();
    this.addClass('cs3-StatusItem');
  }

  get active(): boolean {
    return this._shown && this.node.textContent !== '';
  }

  get activeChanged(): ISignal<this, void> {
    return this._activeChanged;
  }

  set shown(value: boolean) {
    this._shown = value;
    this._activeChanged.emit();
  }

  set room(room: IRoom | undefined) {
    this._room?.changed.disconnect(this._show);
    this._room = room;
    this._steady.reset();
    room?.changed.connect(this._show);
    this._show();
  }

  private readonly _show = (): void =>
    this._steady.say(this._room === undefined ? null : describe(this._room.state, this._trans, clock));

  private readonly _steady = new Steady((said: IDescription | null): void => {
    const wasActive = this.active;
    this.node.setAttribute('aria-live', isNews(this.node.dataset.level, said?.level) ? 'polite' : 'off');
    this.node.textContent = said?.label ?? '';
    this.node.title = said?.title ?? '';
    this.node.dataset.level = said?.level ?? '';
    if (this.active !== wasActive) {
      this._activeChanged.emit();
    }
  });

  private _room: IRoom | undefined;
  private _shown = true;
  private readonly _activeChanged = new Signal<this, void>(this);
}

/** Has `item` follow the setting `show`. */
async function followSettings(item: StatusItem, registry: ISettingRegistry): Promise<void> {
  const settings = await registry.load(ID);
  const apply = (): void => {
    item.shown = settings.get('show').composite !== false;
  };
  settings.changed.connect(apply);
  apply();
}

export const status: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Says in the status bar whether the document is saved, and at which site.',
  autoStart: true,
  requires: [IRoomStatusTracker, IDocumentManager, IStatusBar],
  optional: [ISettingRegistry, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    tracker: IRoomStatusTracker,
    documents: IDocumentManager,
    bar: IStatusBar,
    settings: ISettingRegistry | null,
    translator: ITranslator | null
  ) => {
    const item = new StatusItem((translator ?? nullTranslator).load('cs3collab'));
    const follow = (): void => {
      const widget = app.shell.currentWidget;
      const context =
        comparedIn(widget)?.context ?? (widget === null ? undefined : documents.contextForWidget(widget));
      item.room = context === undefined ? undefined : tracker.get(context.model.sharedModel);
    };
    app.shell.currentChanged?.connect(follow);
    void app.restored.then(follow);
    bar.registerStatusItem(ID, {
      item,
      align: 'left',
      rank: 4,
      isActive: () => item.active,
      activeStateChanged: item.activeChanged
    });
    if (settings !== null) {
      followSettings(item, settings).catch((error: unknown) =>
        console.error('cs3collab: the setting cannot be read', error)
      );
    }
  }
};
