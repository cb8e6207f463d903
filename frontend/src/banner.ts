/** The row above a document that says it is in preview mode. */

import { Widget } from '@lumino/widgets';

export interface IBannerButton {
  readonly label: string;
  readonly onClick: () => void;
}

export class Banner extends Widget {
  /** `edit` is only shown where editing is offered. */
  constructor(copy: IBannerButton, edit: IBannerButton) {
    super();
    this.addClass('cs3-Banner');
    this.node.setAttribute('role', 'status');
    this._text.className = 'cs3-Banner-text';
    this._edit = makeButton(edit, 'cs3-Banner-edit');
    this.node.append(this._text, this._edit, makeButton(copy, 'cs3-Banner-copy'));
    this.hide();
  }

  /** Says `text`; hides itself when that is null. */
  say(text: string | null, offered = false): void {
    this._text.textContent = text ?? '';
    this._text.title = text ?? '';
    this._edit.hidden = !offered;
    this.setHidden(text === null);
  }

  private readonly _text = document.createElement('span');
  private readonly _edit: HTMLButtonElement;
}

function makeButton({ label, onClick }: IBannerButton, name: string): HTMLButtonElement {
  const button = document.createElement('button');
  button.className = `jp-mod-styled cs3-Banner-button ${name}`;
  button.textContent = label;
  button.addEventListener('click', onClick);
  return button;
}
