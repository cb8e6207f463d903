// @vitest-environment jsdom
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(() => {
  // jsdom has no drag and drop, a class of which @lumino/dragdrop extends at import
  Object.assign(globalThis, { DragEvent: class extends MouseEvent {} });
});

async function make(clicks: string[] = []) {
  const { Banner } = await import('../src/banner');
  const copy = { label: 'Create a copy', onClick: () => void clicks.push('copy') };
  return new Banner(copy);
}

describe('the banner', () => {
  it('shows what it says, and nothing when there is nothing to say', async () => {
    const banner = await make();
    expect(banner.isHidden).toBe(true);
    banner.say('Preview mode: <b>why</b>');
    expect(banner.isHidden).toBe(false);
    expect(banner.node.querySelector('.cs3-Banner-text')?.textContent).toBe('Preview mode: <b>why</b>');
    expect(banner.node.querySelector('b')).toBeNull();
    banner.say(null);
    expect(banner.isHidden).toBe(true);
  });

  it('offers the copy', async () => {
    const clicks: string[] = [];
    const banner = await make(clicks);
    banner.node.querySelector<HTMLElement>('.cs3-Banner-copy')?.click();
    expect(clicks).toEqual(['copy']);
  });

  it('offers what can be done now, and nothing else', async () => {
    const clicks: string[] = [];
    const banner = await make(clicks);
    const button = banner.node.querySelector<HTMLButtonElement>('.cs3-Banner-act');
    const offer = (label: string) => ({ label, onClick: () => void clicks.push(label) });
    banner.say('Preview mode');
    expect(button?.hidden).toBe(true);
    for (const label of ['Edit now', 'Try again']) {
      banner.say('Preview mode', offer(label));
      expect(button?.hidden).toBe(false);
      expect(button?.textContent).toBe(label);
      button?.click();
    }
    expect(clicks).toEqual(['Edit now', 'Try again']);
    banner.say('Preview mode');
    expect(button?.hidden).toBe(true);
    button?.click();
    expect(clicks.length).toBe(2);
  });
});
