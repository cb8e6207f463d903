/** The item in the status bar that tells how many conflicts a document has. */

import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';

import type { Translate } from '../describe';
import type { Subject } from './subject';
import { describeCount } from './words';

export class ConflictItem extends Widget {
  constructor(
    private readonly _trans: Translate,
    show: (subject: Subject) => void
  ) {
    super();
    this.addClass('cs3-ConflictItem');
    this._button.title = _trans.__(
      'Somebody else changed the file too. Compare, and decide which version stays.'
    );
    this._button.addEventListener('click', () => {
      if (this._subject !== null) {
        show(this._subject);
      }
    });
    this.node.append(this._button);
  }

  get active(): boolean {
    return this._button.textContent !== '';
  }

  get activeChanged(): ISignal<this, void> {
    return this._activeChanged;
  }

  set subject(subject: Subject | null) {
    this._subject?.changed.disconnect(this._follow);
    this._subject = subject;
    subject?.changed.connect(this._follow);
    this._follow();
  }

  private readonly _follow = (): void => {
    const count = this._subject?.groups.length ?? 0;
    const wasActive = this.active;
    this._button.textContent = count === 0 ? '' : describeCount(count, this._trans);
    if (this.active !== wasActive) {
      this._activeChanged.emit();
    }
  };

  private _subject: Subject | null = null;
  private readonly _button = document.createElement('button');
  private readonly _activeChanged = new Signal<this, void>(this);
}
