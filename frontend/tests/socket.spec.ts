import { beforeEach, describe, expect, it } from 'vitest';

import type { ISocketListener } from '../src/socket';
import { listenedWebSocket } from '../src/socket';

/** Only what a websocket does to its listeners. */
class Wire extends EventTarget {
  constructor(readonly url: string) {
    super();
  }

  say(data: unknown): void {
    this.dispatchEvent(new MessageEvent('message', { data }));
  }

  end(code: number, reason = ''): void {
    this.dispatchEvent(Object.assign(new Event('close'), { code, reason }));
  }
}

class Ear implements ISocketListener {
  readonly heard: unknown[] = [];
  takes = false;

  onMessage(data: unknown): void {
    this.heard.push(data);
  }

  onClose(code: number, reason: string): boolean {
    this.heard.push([code, reason]);
    return this.takes;
  }
}

let ear: Ear;
let Listened: new (url: string) => Wire;

beforeEach(() => {
  ear = new Ear();
  Listened = listenedWebSocket(Wire as unknown as typeof WebSocket, ear) as unknown as typeof Listened;
});

describe('a listened websocket', () => {
  it('hears messages and the close', () => {
    const wire = new Listened('ws://x');
    wire.say('a');
    wire.end(1006, 'gone');
    expect(ear.heard).toEqual(['a', [1006, 'gone']]);
  });

  it('hears only the newest', () => {
    const old = new Listened('ws://x');
    const wire = new Listened('ws://x');
    old.say('old');
    old.end(1006);
    wire.say('new');
    expect(ear.heard).toEqual(['new']);
  });

  it.each([true, false])('hides a close that is dealt with: %s', takes => {
    ear.takes = takes;
    const wire = new Listened('ws://x');
    let told = false;
    wire.addEventListener('close', () => (told = true));
    wire.end(1003, 'x');
    expect(told).toBe(!takes);
  });
});
