/** Takes the right to edit a file that was edited on another server and is free now. */

import { URLExt } from '@jupyterlab/coreutils';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import { ServerConnection } from '@jupyterlab/services';

/** Resolves when this server has the pen, which the status of the room says too. Rejects with the server's words, e.g. who was faster. */
export async function takePen(
  context: Pick<DocumentRegistry.Context, 'localPath' | 'contentsModel'>,
  settings: ServerConnection.ISettings
): Promise<void> {
  const type = context.contentsModel?.type === 'notebook' ? 'notebook' : 'file';
  const path = URLExt.join(settings.baseUrl, 'api/cs3collab/pen', URLExt.encodeParts(context.localPath));
  const url = path + URLExt.objectToQueryString({ type });
  const response = await ServerConnection.makeRequest(url, { method: 'POST' }, settings);
  if (!response.ok) {
    throw await ServerConnection.ResponseError.create(response);
  }
}
