import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Level } from '../src/describe';
import { Steady } from '../src/steady';

let shown: (string | undefined)[];
let steady: Steady;
const say = (level: Level, label: string = level): void => steady.say({ level, label, title: '' });

beforeEach(() => {
  vi.useFakeTimers();
  shown = [];
  steady = new Steady(said => shown.push(said?.label));
});
afterEach(() => void vi.useRealTimers());

describe('the words in the status bar', () => {
  it('stay the same while somebody types', () => {
    say('ok');
    for (let key = 0; key < 5; key++) {
      say('busy');
      vi.advanceTimersByTime(50);
      say('kept');
      vi.advanceTimersByTime(150);
    }
    expect(new Set(shown.slice(1))).toEqual(new Set(['busy']));
    vi.advanceTimersByTime(1000);
    expect(shown.at(-1)).toBe('kept');
  });

  it('say at once that something is wrong, is saved, or is on its way', () => {
    for (const level of ['busy', 'error', 'kept', 'busy', 'ok', 'warning', 'busy'] as const) {
      say(level);
    }
    expect(shown).toEqual(['busy', 'error', 'kept', 'busy', 'ok', 'warning', 'busy']);
    steady.say(null);
    expect(shown.at(-1)).toBeUndefined();
  });

  it('are those of another document at once', () => {
    say('busy', 'one');
    say('kept', 'one');
    steady.reset();
    say('kept', 'two');
    vi.advanceTimersByTime(1000);
    expect(shown).toEqual(['one', 'two']);
  });
});
