/** The button between two sides that takes one difference over. */

/** The merge view listens for the mouse only, and numbers the button once it has it. `name` is given numbers from 1. */
export function takeButton(name: (difference: number) => string): HTMLButtonElement {
  const button = document.createElement('button');
  button.className = 'cs3-SideBySide-take';
  button.textContent = '←';
  button.addEventListener('click', event => {
    if (event.detail === 0) {
      button.dispatchEvent(new MouseEvent('mousedown', { bubbles: true, cancelable: true }));
    }
  });
  queueMicrotask(() => {
    button.title = name(Number(button.dataset.chunk) + 1);
    button.setAttribute('aria-label', button.title);
  });
  return button;
}
