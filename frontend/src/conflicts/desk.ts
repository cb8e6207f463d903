/** The open documents and the views that compare them. */

import type { JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget, Notification } from '@jupyterlab/apputils';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { DocumentWidget } from '@jupyterlab/docregistry';
import { NotebookPanel } from '@jupyterlab/notebook';
import type { Widget } from '@lumino/widgets';

import { clock } from '../clock';
import type { Translate } from '../describe';
import type { IRoom } from '../tokens';
import type { ICompareServices } from './comparison';
import type { IEditors } from './editors';
import { decide } from './decide';
import { compareIcon } from './icon';
import { Markers } from './markers';
import { News } from './news';
import { comparedIn, ComparePanel } from './panel';
import type { IConflict } from './record';
import { Subject } from './subject';
import { describeOutcome } from './words';

function isCompare(widget: Widget | null): widget is MainAreaWidget<ComparePanel> {
  return widget instanceof MainAreaWidget && widget.content instanceof ComparePanel;
}

export class Desk {
  constructor(
    private readonly _app: JupyterFrontEnd,
    private readonly _documents: IDocumentManager,
    private readonly _trans: Translate,
    editors: IEditors
  ) {
    this._services = {
      trans: _trans,
      clock,
      editors,
      openCopy: (subject, path) => void this._openCopy(subject, path),
      reveal: (subject, conflict) => void this._reveal(subject, conflict),
      failed: error => {
        const why = error instanceof Error ? error.message : String(error);
        const words = _trans.__('Their version could not be taken over: %1', why);
        Notification.error(words, { autoClose: false });
      },
      told: (outcome, conflict) => {
        const words = describeOutcome(outcome, conflict, _trans);
        if (words !== '') {
          Notification.info(words, { autoClose: 8000 });
        }
      }
    };
  }

  /** Follows a widget that was just made. */
  add(widget: DocumentWidget, room: IRoom): void {
    const { context } = widget;
    const { sharedModel } = context.model;
    let subject = this._subjects.get(sharedModel);
    if (subject === undefined) {
      const { contents, serverSettings } = this._app.serviceManager;
      subject = new Subject(context, room, contents, its => decide(context, its, serverSettings));
      this._subjects.set(sharedModel, subject);
      const found = subject;
      this._news.set(found, new News(found, this._trans, conflict => this.compare(found, conflict)));
    }
    const found = subject;
    new Markers(widget, found, this._trans, conflict => this.compare(found, conflict));
  }

  /** The document of the widget in front, or that the view in front compares. */
  get current(): Subject | null {
    const widget = this._app.shell.currentWidget;
    if (widget === null) {
      return null;
    }
    const context = this._documents.contextForWidget(widget);
    const subject = context === undefined ? undefined : this._subjects.get(context.model.sharedModel);
    return comparedIn(widget) ?? subject ?? null;
  }

  /** Opens the view beside the document, or brings it to the front, at `conflict`. */
  compare(subject: Subject, conflict: IConflict | null): void {
    this._news.get(subject)?.seen();
    const widget = this._compareOf(subject) ?? this._open(subject);
    this._app.shell.activateById(widget.id);
    void widget.revealed.then(() => requestAnimationFrame(() => widget.content.reveal(conflict)));
  }

  private _open(subject: Subject): MainAreaWidget<ComparePanel> {
    const content = new ComparePanel(subject, this._services);
    const widget = new MainAreaWidget({ content });
    widget.id = `cs3-compare-${this._count++}`;
    const title = (): void => {
      widget.title.label = this._trans.__('Compare: %1', subject.name);
      widget.title.caption = subject.context.localPath;
    };
    title();
    widget.title.closable = true;
    widget.title.icon = compareIcon;
    widget.toolbar.hide();
    subject.context.pathChanged.connect(title);
    subject.context.disposed.connect(() => widget.dispose());
    this._app.shell.add(widget, 'main', this._beside(this._widgetOf(subject)));
    return widget;
  }

  private _beside(widget: Widget | undefined): { mode: 'split-right'; ref?: string } {
    return widget === undefined ? { mode: 'split-right' } : { mode: 'split-right', ref: widget.id };
  }

  private _compareOf(subject: Subject): MainAreaWidget<ComparePanel> | undefined {
    const open = [...this._app.shell.widgets('main')].filter(widget => isCompare(widget));
    return open.find(widget => widget.content.subject === subject);
  }

  private _widgetOf(subject: Subject): Widget | undefined {
    return this._documents.findWidget(subject.context.path, null);
  }

  /** Those with whom one file was shared do not have the files beside it. To look at it takes no kernel. */
  private async _openCopy(subject: Subject, path: string): Promise<void> {
    try {
      await this._app.serviceManager.contents.get(path, { content: false });
      const compare = this._compareOf(subject);
      const options =
        compare === undefined
          ? this._beside(this._widgetOf(subject))
          : ({ mode: 'tab-after', ref: compare.id } as const);
      this._documents.openOrReveal(path, 'default', undefined, options, {
        shouldStart: false,
        autoStartDefault: false
      });
    } catch {
      const name = path.slice(path.lastIndexOf('/') + 1);
      Notification.error(
        this._trans.__(
          'The file %1 is not in this folder. It is beside the original, which may be at another site; ask its owner for it.',
          name
        ),
        { autoClose: false }
      );
    }
  }

  private async _reveal(subject: Subject, conflict: IConflict): Promise<void> {
    const widget = this._widgetOf(subject);
    if (widget !== undefined) {
      this._app.shell.activateById(widget.id);
      const index = subject.indexOf(conflict);
      if (widget instanceof NotebookPanel && index >= 0) {
        widget.content.activeCellIndex = index;
        await widget.content.scrollToItem(index);
      }
    }
  }

  private readonly _services: ICompareServices;
  private readonly _subjects = new WeakMap<object, Subject>();
  private readonly _news = new WeakMap<Subject, News>();
  private _count = 0;
}
