// @vitest-environment jsdom
import { beforeAll, expect, it } from 'vitest';

beforeAll(() => {
  // jsdom has no drag and drop, a class of which @lumino/dragdrop extends at import
  Object.assign(globalThis, { DragEvent: class extends MouseEvent {} });
});

it('says in words what happened, and offers the comparison to mouse and keyboard', async () => {
  const { Marker } = await import('../../src/conflicts/marker');
  let compared = 0;
  const marker = new Marker('Compare', () => (compared += 1));
  marker.say('Changed by <b>Marie</b> too');
  const button = marker.node.querySelector('button');
  button?.click();
  expect(compared).toBe(1);
  expect(marker.node.textContent).toContain('Changed by <b>Marie</b> too');
  expect(marker.node.querySelector('b')).toBeNull();
  expect(button?.getAttribute('aria-label')).toBe('Compare: Changed by <b>Marie</b> too');
  expect(marker.node.hasAttribute('data-lm-suppress-shortcuts')).toBe(true);
});
