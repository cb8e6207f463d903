// @vitest-environment jsdom
import { beforeAll, describe, expect, it } from 'vitest';

beforeAll(() => {
  Object.assign(globalThis, { DragEvent: class extends MouseEvent {} });
});

async function ask(answer: Response, localPath: string, type: string) {
  const { ServerConnection } = await import('@jupyterlab/services');
  const { takePen } = await import('../src/pen');
  const asked: string[] = [];
  const fetch = (request: Request): Promise<Response> => {
    asked.push(`${request.method} ${request.url}`);
    return Promise.resolve(answer);
  };
  const settings = ServerConnection.makeSettings({
    baseUrl: 'http://localhost/user/a/',
    fetch: fetch as typeof globalThis.fetch
  });
  await takePen({ localPath, contentsModel: { type } as never }, settings);
  return asked;
}

describe('taking the pen', () => {
  it('asks for the document as it is open', async () => {
    const free = (): Response => new Response('{"role": "editor"}', { status: 200 });
    expect((await ask(free(), 'Shares/a b.ipynb', 'notebook'))[0]).toMatch(
      /^POST http:\/\/localhost\/user\/a\/api\/cs3collab\/pen\/Shares\/a%20b\.ipynb\?type=notebook/
    );
    expect((await ask(free(), 'n.ipynb', 'file'))[0]).toMatch(/n\.ipynb\?type=file/);
  });

  it('says who was faster', async () => {
    const taken = new Response('{"message": "being edited by Marie"}', { status: 423 });
    await expect(ask(taken, 'n.ipynb', 'notebook')).rejects.toThrow('being edited by Marie');
  });
});
