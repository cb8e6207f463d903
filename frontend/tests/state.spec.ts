import { describe, expect, it } from 'vitest';

import type { IRoomState, RoomEvent } from '../src/state';
import { isParting, isSaved, mayEdit, reduce, UNKNOWN } from '../src/state';
import type { IRoomStatus } from '../src/status';
import { STATUS } from './data';

const edited: RoomEvent = { type: 'edited' };
const closed: RoomEvent = { type: 'closed' };
const rejected: RoomEvent = { type: 'rejected', reason: 'why' };
const said = (status: Partial<IRoomStatus> = {}): RoomEvent => ({
  type: 'status',
  status: { ...STATUS, ...status }
});
const viewer = said({ role: 'viewer' });
const after = (...events: RoomEvent[]): IRoomState => events.reduce(reduce, UNKNOWN);

describe('a room of which the server said nothing', () => {
  it('stays unknown and editable', () => {
    expect(after(edited, closed, edited)).toBe(UNKNOWN);
    expect(mayEdit(UNKNOWN)).toBe(true);
  });
});

describe('edits', () => {
  it('wait for a later position', () => {
    expect(after(said(), edited).awaiting).toBe(7);
    expect(after(said(), edited, said()).awaiting).toBe(7);
    expect(after(said(), edited, said({ position: 8 })).awaiting).toBeNull();
  });

  it('wait until the server has none left, though it knew what they say already', () => {
    expect(after(said(), edited, said({ pending: 1 })).awaiting).toBe(7);
    expect(after(said(), edited, said({ pending: 1 }), said()).awaiting).toBeNull();
  });

  it('wait from the first of them', () => {
    expect(after(said(), edited, edited).awaiting).toBe(7);
  });

  it('are counted while offline and wait once connected again', () => {
    const offline = after(said(), closed, edited, edited);
    expect(offline).toMatchObject({ connected: false, unsent: 2 });
    expect(reduce(offline, said())).toMatchObject({ connected: true, unsent: 0, awaiting: 7 });
    expect(reduce(offline, said({ position: 9 })).awaiting).toBeNull();
  });
});

describe('a save', () => {
  it('is under way from when it was asked for to its end', () => {
    const saving: RoomEvent = { type: 'saving' };
    const saved: RoomEvent = { type: 'saved' };
    expect(after(said(), saving, saving, saved).saves).toBe(1);
    expect(after(said(), saving, closed, viewer).saves).toBe(1);
    expect(after(said(), saving, saved)).toEqual(after(said()));
  });
});

describe('a role', () => {
  it('may change back and forth', () => {
    expect(mayEdit(after(said()))).toBe(true);
    expect(mayEdit(after(said(), viewer))).toBe(false);
    expect(mayEdit(after(said(), viewer, said()))).toBe(true);
    expect(mayEdit(after(said(), viewer, closed))).toBe(false);
  });

  it.each<[string, RoomEvent[]]>([
    ['an edit waits', [said(), edited, viewer]],
    ['edits were made offline', [said(), closed, edited, viewer]],
    ['the server still had some', [said({ pending: 2 }), viewer]],
    ['others went on meanwhile', [said(), edited, said({ role: 'viewer', position: 9 })]]
  ])('that is lost while %s stops the copy for good', (_name, events) => {
    const state = after(...events);
    expect(state.stopped).toEqual({ kind: 'refused' });
    expect(mayEdit(state)).toBe(false);
    expect(mayEdit(reduce(state, said()))).toBe(false);
  });

  it('that is lost without edits under way stops nothing', () => {
    expect(after(said(), edited, said({ position: 8 }), viewer).stopped).toBeNull();
  });
});

describe('a rejected copy', () => {
  it('is stopped with the reason, the first one', () => {
    const state = after(said(), rejected, { type: 'rejected', reason: 'other' });
    expect(state).toMatchObject({ connected: false, stopped: { kind: 'closed', reason: 'why' } });
    expect(mayEdit(state)).toBe(false);
  });
});

describe('a copy with another history', () => {
  const parted = (failure: string | null = null): RoomEvent => ({ type: 'parted', failure });

  it('is brought in, which may fail', () => {
    const state = after(said(), closed, edited, parted());
    expect(isParting(state)).toBe(true);
    expect(mayEdit(state)).toBe(false);
    const failed = reduce(state, parted('why'));
    expect(isParting(failed)).toBe(false);
    expect(failed.stopped).toEqual({ kind: 'parted', failure: 'why' });
  });

  it.each<[string, RoomEvent[]]>([
    ['edits in it were refused', [said(), edited, viewer]],
    ['it was closed for another reason', [said(), rejected]]
  ])('is not brought in when %s before', (_name, events) => {
    expect(isParting(after(...events, parted()))).toBe(false);
  });
});

describe('all is in the file', () => {
  it.each<[boolean, string, RoomEvent[]]>([
    [true, 'the server says so', [said()]],
    [false, 'it said nothing', []],
    [false, 'it cannot be reached', [said(), closed]],
    [false, 'the file is behind', [said({ savedPosition: 6 })]],
    [false, 'something is on its way', [said({ pending: 1 })]],
    [false, 'something was just written', [said(), edited]],
    [false, 'what was written offline need not have come', [said(), closed, edited, said()]]
  ])('%s, when %s', (expected, _name, events) => {
    expect(isSaved(after(...events))).toBe(expected);
  });
});

it('says nothing new when nothing is new', () => {
  const state = after(said(), closed);
  expect(reduce(state, closed)).toBe(state);
});
