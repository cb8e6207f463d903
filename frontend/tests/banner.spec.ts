// @vitest-environment jsdom
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(() => {
  // jsdom has no drag and drop, a class of which @lumino/dragdrop extends at import
  Object.assign(globalThis, { DragEvent: class extends MouseEvent {} });
});

describe('the banner', () => {
  it('shows what it says, and nothing when there is nothing to say', async () => {
    const { Banner } = await import('../src/banner');
    const banner = new Banner('Create a copy', () => undefined);
    expect(banner.isHidden).toBe(true);
    banner.say('Preview mode: <b>why</b>');
    expect(banner.isHidden).toBe(false);
    expect(banner.node.querySelector('.cs3-Banner-text')?.textContent).toBe('Preview mode: <b>why</b>');
    expect(banner.node.querySelector('b')).toBeNull();
    banner.say(null);
    expect(banner.isHidden).toBe(true);
  });

  it('offers the copy', async () => {
    const { Banner } = await import('../src/banner');
    let copies = 0;
    const banner = new Banner('Create a copy', () => (copies += 1));
    banner.node.querySelector('button')?.click();
    expect(copies).toBe(1);
  });
});
