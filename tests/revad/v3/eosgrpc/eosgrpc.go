// Package eosgrpc has what Reva's eos driver needs to compile, and reaches nothing: our tests use another driver, and the module
// of that name is not to be had from every proxy. To be short, one type stands for all requests here, and one for all answers.
package eosgrpc

import (
	"context"
	"errors"
)

var errAbsent = errors.New("this revad is built without EOS")

type request struct {
	Acl, Chmod, Chown, Id, Ls, Mkdir, Owner, Purge, Quota, Recycle, Rename *request
	Restore, Rm, Role, Selection, Touch, Unlink, Version, Xattr            *request

	Command, Subcmd any
	Token           *ShareToken

	App, Authkey, Date, Grabversion, Key, RecycleId, Rule, Trace, Username string
	Message, Path, RegexpDirname, RegexpFilename, Target                   []byte

	Gid, Ino, Maxbytes, Maxdepth, Maxfiles, Uid                   uint64
	Mode                                                          int64
	Cmd, Maxentries, Op, Type                                     int32
	Create, FullDetails, MonitorFmt, Norecycle, Recursive, Select bool
	Keystodelete                                                  []string
	Xattrs                                                        map[string][]byte
}

type answer struct {
	Acl, Cmd, Dtime, Error, Fmd, Mtime, Quota, Recycle, Stime, Version *answer
	Quotanode, Recycles                                                []*answer

	Checksum *checksum
	Id       *request

	Etag, Key, Msg, Rule string
	Path                 []byte

	ContId, Containers, Files, Flags, Gid, Inode, ParentId, Sec, Size, Uid, Usedfiles, Usedlogicalbytes uint64
	Code, Maxfiles, Maxlogicalbytes, TreeSize                                                           int64
	Mode, Type                                                                                          int32
	Xattrs                                                                                              map[string][]byte
}

func (a *answer) GetError() *answer   { return a.Error }
func (a *answer) GetVersion() *answer { return a.Version }

type checksum struct {
	Type  string
	Value []byte
}

type ShareToken struct{ Token *ShareProto }

type ShareProto struct {
	Allowtree        bool
	Expires          uint64
	Path, Permission string
}

type NSRequest_Token struct{ Token *request }

type (
	FindRequest = request
	MDId        = request
	MDRequest   = request
	MDSelection = request
	NSRequest   = request
	PingRequest = request
	RoleId      = request

	NSRequest_AclRequest      = request
	NSRequest_ChmodRequest    = request
	NSRequest_ChownRequest    = request
	NSRequest_MkdirRequest    = request
	NSRequest_QuotaRequest    = request
	NSRequest_RenameRequest   = request
	NSRequest_RmRequest       = request
	NSRequest_SetXAttrRequest = request
	NSRequest_TokenRequest    = request
	NSRequest_TouchRequest    = request
	NSRequest_UnlinkRequest   = request
	NSRequest_VersionRequest  = request

	NSRequest_Acl     = request
	NSRequest_Chmod   = request
	NSRequest_Chown   = request
	NSRequest_Mkdir   = request
	NSRequest_Quota   = request
	NSRequest_Recycle = request
	NSRequest_Rename  = request
	NSRequest_Rm      = request
	NSRequest_Touch   = request
	NSRequest_Unlink  = request
	NSRequest_Version = request
	NSRequest_Xattr   = request

	RecycleProto              = request
	RecycleProto_Ls           = request
	RecycleProto_LsProto      = request
	RecycleProto_Purge        = request
	RecycleProto_PurgeProto   = request
	RecycleProto_Restore      = request
	RecycleProto_RestoreProto = request

	MDResponse = answer
	NSResponse = answer

	NSRequest_AclRequest_ACL_COMMAND     = int32
	NSRequest_AclRequest_ACL_TYPE        = int32
	NSRequest_VersionRequest_VERSION_CMD = int32
)

const (
	TYPE_FILE int32 = iota
	TYPE_CONTAINER
	TYPE_LISTING
	TYPE_STAT

	QUOTAOP_GET
	QUOTAOP_SET

	RecycleProto_RID
	RecycleProto_UID

	NSResponse_RecycleResponse_RecycleInfo_TREE
)

var NSRequest_AclRequest_ACL_COMMAND_value, NSRequest_AclRequest_ACL_TYPE_value, NSRequest_VersionRequest_VERSION_CMD_value map[string]int32

type EosClient = *client

type client struct{}

type stream struct{}

func NewEosClient(any) EosClient                                      { return nil }
func (*client) Ping(context.Context, *PingRequest) (*answer, error)   { return nil, errAbsent }
func (*client) Exec(context.Context, *NSRequest) (*NSResponse, error) { return nil, errAbsent }
func (*client) MD(context.Context, *MDRequest) (*stream, error)       { return nil, errAbsent }
func (*client) Find(context.Context, *FindRequest) (*stream, error)   { return nil, errAbsent }
func (*stream) Recv() (*MDResponse, error)                            { return nil, errAbsent }
