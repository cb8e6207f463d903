/** The row above a document that says why it cannot be edited. */

import { Widget } from '@lumino/widgets';

export interface IBannerButton {
  readonly label: string;
  readonly onClick: () => void;
}

const BUTTON = 'jp-mod-styled cs3-Banner-button';

export class Banner extends Widget {
  constructor(copy: IBannerButton) {
    super();
    this.addClass('cs3-Banner');
    this.node.setAttribute('role', 'status');
    this._text.className = 'cs3-Banner-text';
    this._act.className = `${BUTTON} cs3-Banner-act`;
    this._act.addEventListener('click', () => this._onAct());
    const made = document.createElement('button');
    made.className = `${BUTTON} cs3-Banner-copy`;
    made.textContent = copy.label;
    made.addEventListener('click', copy.onClick);
    this.node.append(this._text, this._act, made);
    this.hide();
  }

  /** Says `text` and offers `act`; hides itself when there is no text. */
  say(text: string | null, act: IBannerButton | null = null): void {
    this._text.textContent = text ?? '';
    this._text.title = text ?? '';
    this._act.hidden = act === null;
    this._act.textContent = act?.label ?? '';
    this._onAct = act?.onClick ?? (() => undefined);
    this.setHidden(text === null);
  }

  private readonly _text = document.createElement('span');
  private readonly _act = document.createElement('button');
  private _onAct: () => void = () => undefined;
}
