// @vitest-environment jsdom
import { MergeView } from '@codemirror/merge';
import { expect, it } from 'vitest';

import { takeButton } from '../../src/conflicts/take';

const name = (difference: number): string => `Take difference ${difference}`;

it('names each difference of a comparison, so that one can be told from the other', async () => {
  const view = new MergeView({
    a: { doc: 'one\nsame\nsame too\nthree' },
    b: { doc: 'ONE\nsame\nsame too\nTHREE' },
    parent: document.body,
    revertControls: 'b-to-a',
    renderRevertControl: () => takeButton(name)
  });
  (view as unknown as { measure(): void }).measure();
  await Promise.resolve();
  const buttons = [...document.querySelectorAll('button')];
  expect(buttons.map(button => button.getAttribute('aria-label'))).toEqual([
    'Take difference 1',
    'Take difference 2'
  ]);
  buttons[1].click();
  expect(view.a.state.doc.toString()).toBe('one\nsame\nsame too\nTHREE');
  view.destroy();
});
