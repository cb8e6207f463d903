/** Keeps the words for a room from flickering while somebody types. */

import type { IDescription } from './describe';

/** Longer than the pauses of who types on. */
const CALM_MS = 600;

/** Shows at once what is new, but that edits are kept only when nobody has typed for a moment; until then they are on their way. */
export class Steady {
  constructor(private readonly _show: (said: IDescription | null) => void) {}

  say(said: IDescription | null): void {
    clearTimeout(this._timer);
    if (this._isBusy && said?.level === 'kept') {
      this._timer = setTimeout(() => this._now(said), CALM_MS);
    } else {
      this._now(said);
    }
  }

  /** What is said next is about something else. */
  reset(): void {
    clearTimeout(this._timer);
    this._isBusy = false;
  }

  private _now(said: IDescription | null): void {
    this._isBusy = said?.level === 'busy';
    this._show(said);
  }

  private _isBusy = false;
  private _timer: ReturnType<typeof setTimeout> | undefined;
}
