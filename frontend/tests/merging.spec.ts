// @vitest-environment jsdom
import { beforeAll, describe, expect, it } from 'vitest';

import { ENGLISH } from './data';

beforeAll(() => {
  Object.assign(globalThis, { DragEvent: class extends MouseEvent {} });
});

const merged = (): Response => new Response('{"position": 9, "conflicts": 2, "copy": "c"}', { status: 200 });
const refused = (status: number): Response => new Response('{"message": "not now"}', { status });

/** Asks a server that gives these answers, one after the other; null is none. */
async function ask(...answers: (Response | null)[]) {
  const { ServerConnection } = await import('@jupyterlab/services');
  const { bringIn } = await import('../src/merging');
  const asked: string[] = [];
  const fetch = async (request: Request): Promise<Response> => {
    asked.push(`${request.method} ${request.url} ${await request.text()}`);
    const answer = answers.shift() ?? null;
    if (answer === null) {
      throw new TypeError('nobody there');
    }
    return answer;
  };
  const settings = ServerConnection.makeSettings({
    baseUrl: 'http://localhost/user/a/',
    fetch: fetch as typeof globalThis.fetch
  });
  const context = { localPath: 'lab/a b.ipynb', contentsModel: { type: 'notebook' } as never };
  const answer = await bringIn(context, { content: 'new', base: 'old' }, settings, [0, 0]);
  return { asked, answer };
}

describe('bringing in', () => {
  it('sends the version to the document and gives what came of it', async () => {
    const { asked, answer } = await ask(merged());
    expect(asked.length).toBe(1);
    expect(asked[0]).toMatch(
      /^POST http:\/\/localhost\/user\/a\/api\/cs3collab\/merge\/lab\/a%20b\.ipynb\?type=notebook\S* \{"content":"new","base":"old"\}$/
    );
    expect(answer).toEqual({ conflicts: 2, copy: 'c' });
  });

  it('asks again while the server cannot', async () => {
    expect((await ask(null, refused(503), merged())).asked.length).toBe(3);
  });

  it('gives up in the end', async () => {
    await expect(ask(refused(503), refused(503), refused(504), merged())).rejects.toThrow('not now');
  });

  it('does not ask again when it was refused', async () => {
    await expect(ask(refused(403), merged())).rejects.toThrow('not now');
  });
});

describe('what is said', () => {
  it.each([
    [null, 'loaded again'],
    [{ conflicts: 0, copy: '' }, 'What you typed was brought in.'],
    [{ conflicts: 1, copy: 'c.ipynb' }, '1 change conflicts; yours is kept in c.ipynb'],
    [{ conflicts: 2, copy: 'c.ipynb' }, '2 changes conflict; yours are kept in c.ipynb']
  ])('of %j', async (result, words) => {
    const { describeReload } = await import('../src/merging');
    expect(describeReload('n.ipynb', result, ENGLISH)).toContain(words);
    expect(describeReload('n'.repeat(200), result, ENGLISH).length).toBeLessThan(140);
  });
});

describe('what has to be brought in', () => {
  it.each([
    ['what was written', 'new', 'old', 'editor', { content: 'new', base: 'old' }],
    ['all, when the base is not known', 'new', null, 'editor', { content: 'new' }],
    ['nothing when nothing was written', 'old', 'old', 'editor', null],
    ['nothing of a viewer', 'new', 'old', 'viewer', null]
  ])('is %s', async (_name, content, base, role, expected) => {
    const { toBringIn } = await import('../src/merging');
    expect(toBringIn(content, { base, state: { status: { role } } as never })).toEqual(expected);
  });
});
