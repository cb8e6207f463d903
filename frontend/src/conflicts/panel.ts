/** The view that compares a document with what somebody else made of it. */

import { MainAreaWidget } from '@jupyterlab/apputils';
import { Panel, Widget } from '@lumino/widgets';

import type { ICompareServices } from './comparison';
import { Comparison } from './comparison';
import type { IConflict } from './record';
import type { Subject } from './subject';

/** All conflicts of one document, one below the other; follows who decides on them, here or elsewhere. */
export class ComparePanel extends Panel {
  constructor(
    readonly subject: Subject,
    private readonly _services: ICompareServices
  ) {
    super();
    this.addClass('cs3-ComparePanel');
    this._none.addClass('cs3-ComparePanel-none');
    this._said.setAttribute('role', 'status');
    this._close.className = 'jp-mod-styled cs3-Comparison-button';
    this._close.textContent = _services.trans.__('Close');
    this._close.addEventListener('click', () => this.parent?.close());
    this._none.node.append(this._said, this._close);
    this.addWidget(this._none);
    subject.changed.connect(this._follow);
    this._follow();
  }

  /** Brings the comparison of `conflict` into view, or the first. */
  reveal(conflict: IConflict | null): void {
    const found = this._comparisons.find(({ conflicts }) =>
      conflicts.some(({ key }) => key === conflict?.key)
    );
    const shown = found ?? this._comparisons.at(0);
    shown?.node.scrollIntoView({ block: 'start' });
    (shown ?? this._close).focus();
  }

  override dispose(): void {
    this.subject.changed.disconnect(this._follow);
    super.dispose();
  }

  private readonly _follow = (): void => {
    const focused = this._comparisons.findIndex(({ node }) => node.contains(document.activeElement));
    const old = this._comparisons;
    const { groups } = this.subject;
    this._comparisons = groups.map(
      group =>
        old.find(comparison => this._fits(comparison, group)) ??
        new Comparison(this.subject, group, this._services)
    );
    old
      .filter(comparison => !this._comparisons.includes(comparison))
      .forEach(comparison => comparison.dispose());
    this._comparisons.forEach((comparison, index) => {
      if (this.widgets.indexOf(comparison) !== index) {
        this.insertWidget(index, comparison);
      }
      comparison.refresh();
    });
    this._say(groups.length === 0);
    if (focused >= 0 && !this.node.contains(document.activeElement)) {
      const next = this._comparisons.at(Math.min(focused, this._comparisons.length - 1));
      (next ?? this._close).focus();
    }
  };

  private _say(none: boolean): void {
    this._said.textContent = none ? this._services.trans.__('Nothing is left to decide.') : '';
    this._none.setHidden(!none);
  }

  /** Whether a comparison was made for just this. A cell that is moved becomes another one with the same id. */
  private _fits({ conflicts, place, ours }: Comparison, group: readonly IConflict[]): boolean {
    const same =
      conflicts.length === group.length && conflicts.every((conflict, index) => conflict === group[index]);
    return same && place === this.subject.placeOf(group[0]) && ours === this.subject.editorModel(group[0]);
  }

  private readonly _none = new Widget();
  private readonly _said = document.createElement('p');
  private readonly _close = document.createElement('button');
  private _comparisons: Comparison[] = [];
}

/** What the view in `widget` compares, null if it is no such view. */
export function comparedIn(widget: Widget | null): Subject | null {
  return widget instanceof MainAreaWidget && widget.content instanceof ComparePanel
    ? widget.content.subject
    : null;
}
