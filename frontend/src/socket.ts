/** A websocket class that lets somebody listen along. */

export interface ISocketListener {
  onMessage(data: unknown): void;
  /** Returns whether the close is dealt with, so that nobody else shall hear of it. */
  onClose(code: number, reason: string): boolean;
}

/**
 * A subclass of `Base` for one document's connections, one after the other.
 *
 * Only the newest socket is listened to, for an old one may still close after its successor is open. The class is handed to the
 * stock provider in its server settings, which keeps the provider's reconnects and its private names out of our hands. The listener
 * hears first: it is attached before the provider has the socket.
 */
export function listenedWebSocket(Base: typeof WebSocket, listener: ISocketListener): typeof WebSocket {
  let newest: WebSocket | null = null;
  return class extends Base {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols);
      // eslint-disable-next-line @typescript-eslint/no-this-alias
      newest = this;
      this.addEventListener('message', (event: MessageEvent<unknown>) => {
        if (newest === this) {
          listener.onMessage(event.data);
        }
      });
      this.addEventListener('close', event => {
        if (newest === this && listener.onClose(event.code, event.reason)) {
          event.stopImmediatePropagation();
        }
      });
    }
  };
}
