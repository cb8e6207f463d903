/** What says in the document that somebody else changed it too. */

import { Widget } from '@lumino/widgets';

/** A quiet row with a button; never by colour alone. */
export class Marker extends Widget {
  constructor(button: string, onClick: () => void) {
    super();
    this.addClass('cs3-Marker');
    this.node.setAttribute('role', 'note');
    // Lab's keys for cells would take Enter and Space away from the button.
    this.node.setAttribute('data-lm-suppress-shortcuts', 'true');
    const sign = document.createElement('span');
    sign.className = 'cs3-Marker-sign';
    sign.setAttribute('aria-hidden', 'true');
    sign.textContent = '⇄';
    this._text.className = 'cs3-Marker-text';
    this._button.className = 'cs3-Marker-button';
    this._button.textContent = button;
    this._button.addEventListener('click', event => {
      event.stopPropagation();
      onClick();
    });
    this.node.append(sign, this._text, this._button);
  }

  say(text: string): void {
    if (this._text.textContent !== text) {
      this._text.textContent = text;
      this._text.title = text;
      this._button.setAttribute('aria-label', `${this._button.textContent}: ${text}`);
    }
  }

  private readonly _text = document.createElement('span');
  private readonly _button = document.createElement('button');
}
