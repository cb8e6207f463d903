/** The row above a document that says it is in preview mode. */

import { Widget } from '@lumino/widgets';

export class Banner extends Widget {
  constructor(button: string, onClick: () => void) {
    super();
    this.addClass('cs3-Banner');
    this.node.setAttribute('role', 'status');
    this._text.className = 'cs3-Banner-text';
    const copy = document.createElement('button');
    copy.className = 'jp-mod-styled cs3-Banner-button';
    copy.textContent = button;
    copy.addEventListener('click', onClick);
    this.node.append(this._text, copy);
    this.hide();
  }

  /** Says `text`; hides itself when that is null. */
  say(text: string | null): void {
    this._text.textContent = text ?? '';
    this._text.title = text ?? '';
    this.setHidden(text === null);
  }

  private readonly _text = document.createElement('span');
}
