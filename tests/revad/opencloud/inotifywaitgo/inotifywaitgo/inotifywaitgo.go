// Package inotifywaitgo has what Reva's posix driver needs to compile, and watches nothing: our tests use another driver,
// and the module of that name is not to be had from every proxy.
package inotifywaitgo

import (
	"errors"
	"log/slog"
)

type EVENT string

const (
	CREATE      EVENT = "create"
	MOVED_TO    EVENT = "moved_to"
	MOVED_FROM  EVENT = "moved_from"
	CLOSE       EVENT = "close"
	CLOSE_WRITE EVENT = "close_write"
	DELETE      EVENT = "delete"

	NOT_INSTALLED = "not installed"
	INVALID_EVENT = "invalid event"
)

type FileEvent struct {
	Filename string
	Events   []EVENT
	IsDir    bool
}

type Options struct {
	Recursive bool
	Events    []EVENT
	Monitor   bool
}

type Settings struct {
	Dir        string
	FileEvents chan FileEvent
	ErrorChan  chan error
	KillOthers bool
	Options    *Options
	Verbose    bool
	Log        *slog.Logger
}

// WatchPath says that it cannot.
func WatchPath(s *Settings) {
	s.ErrorChan <- errors.New(NOT_INSTALLED)
}
