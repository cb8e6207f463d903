// @vitest-environment jsdom
import { beforeAll, describe, expect, it } from 'vitest';

import { conflict } from './data';

beforeAll(() => {
  Object.assign(globalThis, { DragEvent: class extends MouseEvent {} });
});

async function ask(answer: Response) {
  const { ServerConnection } = await import('@jupyterlab/services');
  const { decide } = await import('../../src/conflicts/decide');
  const asked: string[] = [];
  const fetch = async (request: Request): Promise<Response> => {
    asked.push(`${request.method} ${request.url} ${await request.text()}`);
    return answer;
  };
  const settings = ServerConnection.makeSettings({
    baseUrl: 'http://localhost/user/a/',
    fetch: fetch as typeof globalThis.fetch
  });
  const context = { localPath: 'lab/a b.py', contentsModel: { type: 'file' } as never };
  const decided = await decide(context, [conflict({ key: 'x' }), conflict({ key: 'y' })], settings);
  return { asked, decided };
}

describe('deciding', () => {
  it.each(['true', 'false'])('asks once for all conflicts and takes %s for the answer', async decided => {
    const answer = await ask(new Response(`{"decided": ${decided}}`, { status: 200 }));
    expect(String(answer.decided)).toBe(decided);
    expect(answer.asked.length).toBe(1);
    expect(answer.asked[0]).toMatch(
      /^POST http:\/\/localhost\/user\/a\/api\/cs3collab\/conflicts\/lab\/a%20b\.py\?type=file\S* \{"keys":\["x","y"\]\}$/
    );
  });

  it('rejects with the words of the server', async () => {
    await expect(ask(new Response('{"message": "away"}', { status: 503 }))).rejects.toThrow('away');
  });
});
