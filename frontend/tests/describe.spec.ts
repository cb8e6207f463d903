import { describe as suite, expect, it } from 'vitest';

import { describe, describePreview, describeStop } from '../src/describe';
import type { IRoomState } from '../src/state';
import { UNKNOWN } from '../src/state';
import type { IRoomStatus } from '../src/status';
import { CLOCK, ENGLISH, STATUS } from './data';

const known = (status: Partial<IRoomStatus>, state: Partial<IRoomState> = {}): IRoomState => ({
  ...UNKNOWN,
  connected: true,
  status: { ...STATUS, ...status },
  ...state
});
const said = (state: IRoomState) => describe(state, ENGLISH, CLOCK);

suite('the label', () => {
  it.each<[IRoomState, string, string]>([
    [known({}), 'ok', 'Connected · saved · site-a.example'],
    [known({ home: '' }), 'ok', 'Connected · saved'],
    [known({ savedAt: 5 }), 'ok', 'Saved at t5 · site-a.example'],
    [known({ pending: 1 }), 'busy', 'Sending… · site-a.example'],
    [known({ pending: 1, savedPosition: 6 }), 'busy', 'Sending… · site-a.example'],
    [known({}, { awaiting: 7 }), 'busy', 'Sending… · site-a.example'],
    [known({ savedPosition: 6 }), 'kept', 'Connected · edits kept · site-a.example'],
    [known({ savedPosition: 6, savedAt: 5 }), 'kept', 'Edits kept · file saved at t5 · site-a.example'],
    [known({ savedPosition: 6, savedAt: 5 }, { saves: 1 }), 'busy', 'Saving… · site-a.example'],
    [known({ problem: 'locked', savedPosition: 6 }, { saves: 1 }), 'busy', 'Saving… · site-a.example'],
    [known({ online: false }, { saves: 1 }), 'warning', 'Offline · site-a.example'],
    [
      known({ problem: 'quota exceeded', savedPosition: 6 }),
      'error',
      'Not saved: quota exceeded · site-a.example'
    ],
    [known({ problem: 'changed by others' }), 'warning', 'changed by others · site-a.example'],
    [known({ role: 'viewer' }), 'info', 'Preview mode · site-a.example'],
    [known({}, { connected: false }), 'warning', 'Offline · site-a.example'],
    [known({}, { connected: false, unsent: 1 }), 'warning', 'Offline, 1 edit unsaved · site-a.example'],
    [
      known({ pending: 2 }, { connected: false, unsent: 1 }),
      'warning',
      'Offline, 3 edits unsaved · site-a.example'
    ],
    [known({ online: false, pending: 2 }), 'warning', 'Offline, 2 edits unsaved · site-a.example'],
    [known({}, { stopped: { kind: 'refused' } }), 'error', 'Stopped · site-a.example']
  ])('of %# is %s: %s', (state, level, label) => {
    expect(said(state)).toMatchObject({ level, label });
  });

  it('is not there when the server has said nothing', () => {
    expect(said(UNKNOWN)).toBeNull();
  });

  it('shortens a long problem, of which the title has all', () => {
    const problem = 'x'.repeat(100);
    const description = said(known({ problem }));
    expect(description?.label.length).toBeLessThan(100);
    expect(description?.title).toContain(problem);
  });
});

suite('the title', () => {
  it('tells position, save, holder and etag', () => {
    const state = known({ position: 9, savedAt: 5, savedBy: 'einstein', holder: 'another app', etag: '"1"' });
    expect(said(state)?.title.split('\n').slice(1)).toEqual([
      'Home site: site-a.example',
      'Edits are stored up to position 9; the file has them up to 7',
      'Last saved: d5, by einstein',
      'Locked by: another app',
      'Version of the file (etag): "1"'
    ]);
  });

  it('says of edits that are kept how they come into the file, and only of those', () => {
    const words = 'All edits are safe on disk';
    expect(said(known({ savedPosition: 6 }))?.title).toContain(words);
    for (const other of [
      known({}),
      known({ savedPosition: 6, pending: 1 }),
      known({ savedPosition: 6 }, { awaiting: 7 }),
      known({ savedPosition: 6, problem: 'locked' }),
      known({ savedPosition: 6, role: 'viewer' })
    ]) {
      expect(said(other)?.title).not.toContain(words);
    }
  });

  it.each<[IRoomState, string]>([
    [known({}, { connected: false }), 'Your Jupyter server cannot be reached'],
    [known({ online: false }), 'The home site cannot be reached'],
    [known({ role: 'viewer', reason: 'your share says Viewer' }), 'Preview mode: your share says Viewer'],
    [known({}, { stopped: { kind: 'closed', reason: 'it was replaced' } }), 'it was replaced']
  ])('of %# says %s', (state, words) => {
    expect(said(state)?.title).toContain(words);
  });
});

suite('preview mode', () => {
  it('says why, else who, else that it is so', () => {
    expect(describePreview({ ...STATUS, reason: 'a', holder: 'b' }, ENGLISH)).toBe('Preview mode: a');
    expect(describePreview({ ...STATUS, reason: 'it is free', offered: true }, ENGLISH)).toBe(
      'Preview mode: it is free. You can edit it now.'
    );
    expect(
      describePreview({ ...STATUS, reason: 'this file is being edited by Ann at a.example' }, ENGLISH)
    ).toBe('This file is being edited by Ann at a.example: stay in preview mode, or create a copy');
    expect(describePreview({ ...STATUS, holder: 'b' }, ENGLISH)).toBe('Preview mode: b is editing');
    expect(describePreview(STATUS, ENGLISH)).toContain('not edit');
  });

  it('says that edits were refused', () => {
    expect(describeStop({ kind: 'refused' }, ENGLISH)).toContain('not accepted');
    expect(describeStop({ kind: 'closed', reason: '' }, ENGLISH)).toContain('closed');
    expect(describeStop({ kind: 'parted', failure: null }, ENGLISH)).toContain('is being brought in');
    expect(describeStop({ kind: 'parted', failure: 'why' }, ENGLISH)).toContain('not be brought in: why.');
  });
});
