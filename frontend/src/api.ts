/** What this extension asks of the server about a document. */

import { URLExt } from '@jupyterlab/coreutils';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import { ServerConnection } from '@jupyterlab/services';

export type Asked = Pick<DocumentRegistry.Context, 'localPath' | 'contentsModel'>;

/** Posts to `api/cs3collab/<what>/<path>`. Rejects with the server's words. */
export async function post(
  what: string,
  context: Asked,
  settings: ServerConnection.ISettings,
  body?: object
): Promise<Response> {
  const type = context.contentsModel?.type === 'notebook' ? 'notebook' : 'file';
  const path = URLExt.join(settings.baseUrl, 'api/cs3collab', what, URLExt.encodeParts(context.localPath));
  const url = path + URLExt.objectToQueryString({ type });
  const init = body === undefined ? { method: 'POST' } : { method: 'POST', body: JSON.stringify(body) };
  const response = await ServerConnection.makeRequest(url, init, settings);
  if (!response.ok) {
    throw await ServerConnection.ResponseError.create(response);
  }
  return response;
}
