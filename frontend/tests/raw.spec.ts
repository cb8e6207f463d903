import { describe, expect, it } from 'vitest';

import { rawText } from '../src/raw';
import { rawMessage, toBuffer } from './data';

describe('rawText', () => {
  it.each(['', 'x', '{"type":"cs3collab"}', 'é🎉', 'x'.repeat(1000)])('reads %j', text => {
    expect(rawText(rawMessage(text))).toBe(text);
  });

  it.each([
    ['sync', [0, 2, 1, 0]],
    ['awareness', [1, 0]],
    ['nothing', []],
    ['a raw message without text', [2]],
    ['a raw message cut short', [2, 5, 65]]
  ])('is null for %s', (_name, bytes) => {
    expect(rawText(toBuffer(Uint8Array.from(bytes)))).toBeNull();
  });

  it('is null for what is not binary', () => {
    expect(rawText('text')).toBeNull();
  });
});
