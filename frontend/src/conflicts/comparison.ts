/** One conflict: what happened, both versions, and what can be done. */

import { CodeEditor } from '@jupyterlab/codeeditor';
import { PanelLayout, Widget } from '@lumino/widgets';

import type { IClock, Translate } from '../describe';
import type { IEditors } from './editors';
import { SideBySide } from './editors';
import type { IConflict, Outcome, Place, Use } from './record';
import { isText, useOf } from './record';
import type { Subject } from './subject';
import { describeChoice, describeConflict, describePlace, describeUse } from './words';

/** What a comparison needs of the application. */
export interface ICompareServices {
  readonly trans: Translate;
  readonly clock: IClock;
  readonly editors: IEditors;
  /** Opens the file with their version beside the document. */
  readonly openCopy: (subject: Subject, path: string) => void;
  /** Brings the place in the document into view. */
  readonly reveal: (subject: Subject, conflict: IConflict) => void;
  readonly failed: (error: unknown) => void;
  /** Says what became of taking their version where that is not to be seen. */
  readonly told: (outcome: Outcome, conflict: IConflict) => void;
}

function element(tag: string, className: string, text = ''): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function button(label: string, onClick: () => void, accept = false): HTMLButtonElement {
  const made = document.createElement('button');
  made.className = `jp-mod-styled cs3-Comparison-button${accept ? ' jp-mod-accept' : ''}`;
  made.textContent = label;
  made.addEventListener('click', onClick);
  return made;
}

/** Stands for conflicts that are decided on together, the first of which tells what and where. */
export class Comparison extends Widget {
  readonly place: Place;
  readonly ours: CodeEditor.IModel | null;

  constructor(
    private readonly _subject: Subject,
    readonly conflicts: readonly IConflict[],
    private readonly _services: ICompareServices
  ) {
    super({ node: document.createElement('section') });
    this.addClass('cs3-Comparison');
    this.layout = new PanelLayout();
    this.place = _subject.placeOf(this._conflict);
    this.ours = _subject.editorModel(this._conflict);
    this._use = useOf(this._conflict, this.place);
    this._add(this._header());
    this._add(this._choice());
    if (isText(this._conflict, this.place)) {
      void this._compare();
    }
    this.refresh();
  }

  focus(): void {
    this.node.querySelector<HTMLElement>('button:not(:disabled)')?.focus();
  }

  /** Follows the place of the cell and the rights of this person. */
  refresh(): void {
    const { trans } = this._services;
    const where = describePlace(this.place, this._subject.indexOf(this._conflict), trans);
    this._where.textContent = where;
    this.node.setAttribute('aria-label', `${where}: ${describeConflict(this._conflict, this.place, trans)}`);
    const editable = this._subject.mayEdit;
    for (const made of this._deciding) {
      made.disabled = !editable;
      made.setAttribute('aria-disabled', String(!editable || this._busy)); // who is disabled loses the focus
    }
    this._notice.textContent = editable
      ? ''
      : trans.__('Preview mode: you may compare, an editor has to decide.');
    if (this._sides !== null) {
      this._sides.editable = editable && this.place !== 'gone';
    }
  }

  override dispose(): void {
    this._empty?.dispose();
    super.dispose();
  }

  private get _conflict(): IConflict {
    return this.conflicts[0];
  }

  private _header(): HTMLElement {
    const { trans, clock, reveal } = this._services;
    const { at } = this._conflict;
    this._where.className = 'cs3-Comparison-where';
    this._where.title = trans.__('Show it in the document');
    this._where.addEventListener('click', () => reveal(this._subject, this._conflict));
    const header = element('header', 'cs3-Comparison-header');
    header.append(
      this._where,
      element('span', '', describeConflict(this._conflict, this.place, trans)),
      element('span', 'cs3-Comparison-origin', at === 0 ? '' : clock.date(at))
    );
    return header;
  }

  private _choice(): HTMLElement {
    const { trans, openCopy } = this._services;
    const use = this._use;
    const path = this._subject.copyOf(this._conflict);
    this._deciding = [
      button(trans.__('Keep this version'), () => this._keep(), true),
      ...(use === null ? [] : [button(describeUse(use, trans), () => void this._take())])
    ];
    const open =
      path === null ? [] : [button(trans.__('Open their file'), () => openCopy(this._subject, path))];
    this._notice.className = 'cs3-Comparison-notice';
    const row = element('div', 'cs3-Comparison-buttons');
    row.append(...this._deciding, ...open, this._notice);
    const hint = describeChoice(this._conflict, use, trans);
    const choice = element('div', 'cs3-Comparison-choice');
    choice.append(...(hint === '' ? [] : [element('p', '', hint)]), row);
    return choice;
  }

  private _keep(): void {
    if (!this._busy) {
      this._subject.keep(this.conflicts);
    }
  }

  private async _take(): Promise<void> {
    if (this._busy) {
      return;
    }
    this._busy = true;
    this.refresh();
    try {
      this._services.told(await this._subject.use(this.conflicts), this._conflict);
    } catch (error) {
      this._services.failed(error);
    }
    this._busy = false;
    if (!this.isDisposed) {
      this.refresh();
    }
  }

  private async _compare(): Promise<void> {
    let theirs: string;
    try {
      theirs = await this._subject.theirText(this._conflict);
    } catch {
      this._quote();
      return;
    }
    if (this.isDisposed) {
      return;
    }
    const { trans, editors } = this._services;
    this._empty = this.ours === null ? new CodeEditor.Model() : null;
    const labels = [
      this.ours === null ? trans.__('Here: deleted') : trans.__('Here, live'),
      trans.__('Theirs')
    ];
    this._sides = new SideBySide(editors, {
      ours: this.ours ?? (this._empty as CodeEditor.Model),
      theirs,
      labels,
      takeLabel: n => trans.__('Take difference %1 over from their version', String(n))
    });
    const row = element('div', 'cs3-Comparison-labels');
    row.append(...labels.map(label => element('span', '', label)));
    this._add(row);
    (this.layout as PanelLayout).addWidget(this._sides);
    this.refresh();
  }

  /** The copy may be out of reach, beside the original at another site; some of it is in the records. */
  private _quote(): void {
    if (!this.isDisposed) {
      const lines = this.conflicts.map(({ theirs }) => theirs).filter(text => text !== null);
      const said = this._services.trans.__('Their file cannot be read here. Of their version:');
      const quote = element('div', 'cs3-Comparison-quote', said);
      quote.append(...lines.map(text => element('pre', '', text)));
      this._add(quote);
    }
  }

  private _add(node: HTMLElement): void {
    (this.layout as PanelLayout).addWidget(new Widget({ node }));
  }

  private readonly _use: Use | null;
  private readonly _where = document.createElement('button');
  private readonly _notice = document.createElement('span');
  private _deciding: HTMLButtonElement[] = [];
  private _sides: SideBySide | null = null;
  private _empty: CodeEditor.Model | null = null;
  private _busy = false;
}
