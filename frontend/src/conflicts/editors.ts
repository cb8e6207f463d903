/** Two texts side by side in editors that look and behave like those of JupyterLab. */

import { MergeView } from '@codemirror/merge';
import type { Extension } from '@codemirror/state';
import { Compartment, Prec } from '@codemirror/state';
import { EditorView, keymap } from '@codemirror/view';
import { CodeEditor } from '@jupyterlab/codeeditor';
import type {
  IEditorExtensionRegistry,
  IEditorLanguageRegistry,
  IExtensionsHandler
} from '@jupyterlab/codemirror';
import { Widget } from '@lumino/widgets';
import type { UndoManager } from 'yjs';

import { takeButton } from './take';

/** What JupyterLab knows about editors. */
export interface IEditors {
  readonly extensions: IEditorExtensionRegistry;
  readonly languages: IEditorLanguageRegistry;
}

export interface ISideBySide {
  readonly ours: CodeEditor.IModel;
  readonly theirs: string;
  /** Of ours and theirs, for those who do not see them side by side. */
  readonly labels: readonly string[];
  /** What the button between the editors does with a difference, by its number from 1. */
  readonly takeLabel: (difference: number) => string;
}

const UNCHANGED_LINES = 6;

function undoKeys(model: CodeEditor.IModel): Extension {
  const history = (model.sharedModel as { readonly undoManager?: UndoManager | null }).undoManager;
  if (history === undefined || history === null) {
    return [];
  }
  const redo = (): boolean => history.redo() !== null || true;
  return Prec.high(
    keymap.of([
      { key: 'Mod-z', run: () => history.undo() !== null || true },
      { key: 'Mod-y', run: redo },
      { key: 'Mod-Shift-z', run: redo }
    ])
  );
}

/** Ours is live, both ways; theirs cannot be edited. */
export class SideBySide extends Widget {
  constructor(
    private readonly _editors: IEditors,
    texts: ISideBySide
  ) {
    super();
    this.addClass('cs3-SideBySide');
    const { ours, theirs, labels } = texts;
    this._theirs = new CodeEditor.Model({ mimeType: ours.mimeType });
    this._theirs.sharedModel.setSource(theirs);
    this._handlers = [this._handler(ours, false), this._handler(this._theirs, true)];
    const [left, right] = this._handlers.map(handler => handler.getInitialExtensions());
    this._view = new MergeView({
      a: {
        doc: ours.sharedModel.getSource(),
        extensions: [left, undoKeys(ours), this._common(labels[0])]
      },
      b: { doc: theirs, extensions: [right, this._common(labels[1])] },
      parent: this.node,
      collapseUnchanged: { margin: 3, minSize: UNCHANGED_LINES },
      diffConfig: { scanLimit: 2000, timeout: 200 },
      renderRevertControl: () => takeButton(texts.takeLabel)
    });
    const sides = [this._view.a, this._view.b];
    sides.forEach((side, index) => {
      side.setTabFocusMode(true);
      this._handlers[index].configChanged.connect((handler, config) =>
        handler.reconfigureExtensions(side, config)
      );
    });
    void this._addLanguage(ours.mimeType);
  }

  /** Whether our side may be edited. */
  set editable(value: boolean) {
    if (value === this._editable) {
      return;
    }
    this._editable = value;
    this._handlers[0].setOption('readOnly', !value);
    this._view.reconfigure({ revertControls: value ? 'b-to-a' : undefined });
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._view.destroy();
      this._handlers.forEach(handler => handler.dispose());
      this._theirs.dispose();
      super.dispose();
    }
  }

  private _handler(model: CodeEditor.IModel, readOnly: boolean): IExtensionsHandler {
    return this._editors.extensions.createNew({ model, inline: false, config: { readOnly } });
  }

  private _common(label: string): Extension {
    return [
      this._language.of([]),
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ 'aria-label': label })
    ];
  }

  private async _addLanguage(mimeType: string): Promise<void> {
    const language = await this._editors.languages.getLanguage(mimeType).catch(() => null);
    const support = language?.support;
    if (support !== undefined && !this.isDisposed) {
      [this._view.a, this._view.b].forEach(side =>
        side.dispatch({ effects: this._language.reconfigure(support) })
      );
    }
  }

  private _editable: boolean | null = null;
  private readonly _language = new Compartment();
  private readonly _theirs: CodeEditor.Model;
  private readonly _handlers: readonly IExtensionsHandler[];
  private readonly _view: MergeView;
}
