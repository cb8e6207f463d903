/** A document with its conflicts: what the markers and the comparison look at. */

import { YNotebook } from '@jupyter/ydoc';
import type { CodeEditor } from '@jupyterlab/codeeditor';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { Contents } from '@jupyterlab/services';
import type { INotebookModel } from '@jupyterlab/notebook';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { mayEdit } from '../state';
import type { IRoom, SharedDocument } from '../tokens';
import type { ITheirCell } from './copied';
import { readCopy, theirCell } from './copied';
import { deleteCell, insertCell, replaceText } from './edits';
import { Conflicts } from './model';
import type { IConflict, Outcome, Place } from './record';
import { beside, inGroups, placeOf, useOf } from './record';

function isEditorModel(model: object): model is CodeEditor.IModel {
  return 'mimeType' in model && 'selections' in model;
}

/** One open document. Lives as long as its shared model. */
export class Subject {
  readonly conflicts: Conflicts;

  constructor(
    readonly context: DocumentRegistry.Context,
    private readonly _room: IRoom,
    private readonly _contents: Contents.IManager,
    private readonly _decide: (conflicts: readonly IConflict[]) => Promise<boolean>
  ) {
    const { sharedModel } = context.model;
    this._notebook = sharedModel instanceof YNotebook ? sharedModel : null;
    this.conflicts = new Conflicts(sharedModel as unknown as SharedDocument);
    const emit = (): void => this._changed.emit();
    this.conflicts.changed.connect(emit);
    let editable = this.mayEdit;
    const follow = (): void => {
      if (editable !== this.mayEdit) {
        editable = this.mayEdit;
        emit();
      }
    };
    _room.changed.connect(follow);
    (context.model as Partial<INotebookModel>).cells?.changed.connect(emit);
    sharedModel.disposed.connect(() => {
      _room.changed.disconnect(follow);
      Signal.clearData(this);
    });
  }

  /** Conflicts, cells or rights are others than before. */
  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get name(): string {
    return this.context.localPath.slice(this.context.localPath.lastIndexOf('/') + 1);
  }

  get mayEdit(): boolean {
    return mayEdit(this._room.state);
  }

  /** What people decide on, in the order of the document. */
  get groups(): readonly (readonly IConflict[])[] {
    return inGroups(this.conflicts.all, this._cells);
  }

  placeOf(conflict: IConflict): Place {
    return placeOf(conflict, this._cells);
  }

  /** Of the conflict's cell, -1 if there is none. */
  indexOf(conflict: IConflict): number {
    return this._cells?.indexOf(conflict.cell) ?? -1;
  }

  /** What an editor of our version is made for, null where there is no text of ours. */
  editorModel(conflict: IConflict): CodeEditor.IModel | null {
    const { model } = this.context;
    if (this._notebook === null) {
      return isEditorModel(model) ? model : null;
    }
    const index = this.indexOf(conflict);
    return index < 0 ? null : (model as unknown as INotebookModel).cells.get(index);
  }

  /** Where the copy with their version is; null where none is kept. */
  copyOf(conflict: IConflict): string | null {
    return conflict.copy === '' ? null : beside(this.context.path, conflict.copy);
  }

  /** Their whole text, which for a file is in the copy. Rejects where that cannot be read. */
  async theirText(conflict: IConflict): Promise<string> {
    const path = this.placeOf(conflict) === 'file' ? this.copyOf(conflict) : null;
    return path === null ? (conflict.theirs ?? '') : String(await readCopy(this._contents, path, 'file'));
  }

  /** Leaves the document as it is and takes the conflicts for decided. */
  keep(conflicts: readonly IConflict[]): void {
    if (this.mayEdit) {
      this.conflicts.remove(conflicts);
    }
  }

  /**
   * Takes over their version and the conflicts for decided, unless somebody else does so in this moment: the same edit twice would
   * double the text. Rejects where their version cannot be read and where the home site cannot say who was first.
   */
  async use(conflicts: readonly IConflict[]): Promise<Outcome> {
    const [conflict] = conflicts;
    const use = useOf(conflict, this.placeOf(conflict));
    const text = use === 'replace' ? await this.theirText(conflict) : '';
    const cell = use === 'insert' ? await this._theirCell(conflict) : null;
    const fits = (): boolean => this.mayEdit && use === useOf(conflict, this.placeOf(conflict));
    if (!this.conflicts.has(conflict)) {
      return 'late';
    }
    if (!fits()) {
      return 'lost';
    }
    if (!(await this._decide(conflicts))) {
      return 'late';
    }
    if (!fits()) {
      return 'lost';
    }
    const decided = (): void => this.conflicts.remove(conflicts);
    const ours = this.editorModel(conflict)?.sharedModel;
    if (use === 'replace' && ours !== undefined) {
      replaceText(ours, text, decided);
    } else if (use === 'delete' && this._notebook !== null) {
      deleteCell(this._notebook, conflict.cell, decided);
    } else if (cell !== null && this._notebook !== null) {
      insertCell(this._notebook, cell.cell, cell.among, decided);
    }
    return 'taken';
  }

  /** With what the record has not: type, metadata, outputs and place. A copy that is gone is no reason not to insert the text. */
  private async _theirCell(conflict: IConflict): Promise<ITheirCell> {
    const path = this.copyOf(conflict);
    const content = path === null ? null : await readCopy(this._contents, path, 'notebook').catch(() => null);
    return theirCell(conflict, content);
  }

  private get _cells(): readonly string[] | null {
    return this._notebook?.cells.map(cell => cell.id) ?? null;
  }

  private readonly _notebook: YNotebook | null;
  private readonly _changed = new Signal<this, void>(this);
}
