/** Puts markers on the cells of a notebook, and above the document for what is in none of them. */

import type { Cell } from '@jupyterlab/cells';
import type { DocumentWidget } from '@jupyterlab/docregistry';
import { NotebookPanel } from '@jupyterlab/notebook';
import { PanelLayout } from '@lumino/widgets';

import type { Translate } from '../describe';
import { Marker } from './marker';
import type { IConflict } from './record';
import type { Subject } from './subject';
import { describeConflict } from './words';

/** Keeps the markers of one widget in step with the conflicts of its document. */
export class Markers {
  constructor(
    private readonly _widget: DocumentWidget,
    private readonly _subject: Subject,
    private readonly _trans: Translate,
    private readonly _compare: (conflict: IConflict) => void
  ) {
    _subject.changed.connect(this._follow);
    if (_widget instanceof NotebookPanel) {
      _widget.content.modelContentChanged.connect(this._follow);
    }
    _widget.disposed.connect(() => _subject.changed.disconnect(this._follow));
    this._follow();
  }

  private readonly _follow = (): void => {
    const all = this._subject.groups.map(([first]) => first);
    if (all.length === 0 && this._cells.size === 0 && this._above === null) {
      return;
    }
    const cells = this._widget instanceof NotebookPanel ? this._widget.content.widgets : [];
    const inCells = new Map<Cell, IConflict[]>();
    const above: IConflict[] = [];
    for (const conflict of all) {
      const cell = cells.at(this._subject.indexOf(conflict));
      if (this._subject.placeOf(conflict) === 'cell' && cell !== undefined) {
        inCells.set(cell, [...(inCells.get(cell) ?? []), conflict]);
      } else {
        above.push(conflict);
      }
    }
    this._mark(inCells);
    this._markAbove(above);
  };

  private _mark(conflicts: ReadonlyMap<Cell, IConflict[]>): void {
    for (const [cell, marker] of this._cells) {
      if (!conflicts.has(cell) || marker.isDisposed) {
        marker.dispose();
        this._cells.delete(cell);
      }
    }
    for (const [cell, its] of conflicts) {
      const marker = this._cells.get(cell) ?? this._put(cell);
      marker.say(this._words(its));
    }
  }

  /** A cell that was not drawn yet gets its parts when it is. */
  private _put(cell: Cell): Marker {
    const marker = this._marker(() =>
      this._subject.groups.map(([first]) => first).find(({ cell: id }) => id === cell.model.id)
    );
    this._cells.set(cell, marker);
    void cell.ready.then(() => {
      if (!cell.isDisposed && !marker.isDisposed && cell.layout instanceof PanelLayout) {
        cell.layout.insertWidget(0, marker);
      }
    });
    return marker;
  }

  private _markAbove(conflicts: readonly IConflict[]): void {
    if (conflicts.length === 0) {
      this._above?.dispose();
      this._above = null;
      return;
    }
    if (this._above === null) {
      this._above = this._marker(() => this._subject.groups.at(0)?.[0]);
      this._above.addClass('cs3-mod-above');
      this._widget.contentHeader.addWidget(this._above);
    }
    this._above.say(this._words(conflicts));
  }

  private _marker(find: () => IConflict | undefined): Marker {
    return new Marker(this._trans.__('Compare'), () => {
      const conflict = find();
      if (conflict !== undefined) {
        this._compare(conflict);
      }
    });
  }

  private _words(conflicts: readonly IConflict[]): string {
    const said = conflicts.map(conflict =>
      describeConflict(conflict, this._subject.placeOf(conflict), this._trans)
    );
    return [...new Set(said)].join(' · ');
  }

  private readonly _cells = new Map<Cell, Marker>();
  private _above: Marker | null = null;
}
