package dynamo

import (
	"encoding/base32"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// maxItem is the most bytes that DynamoDB takes as one item.
const maxItem = 400 << 10

// item is a DynamoDB item. Its setters leave out zero values, its readers give
// zero values for what is not there.
type item map[string]types.AttributeValue

func newItem(k key) item { return k.attributes() }

func stringValue(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func numberValue(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func (it item) setString(name, v string) {
	if v != "" {
		it[name] = stringValue(v)
	}
}

func (it item) setInt(name string, v int64) {
	if v != 0 {
		it[name] = numberValue(v)
	}
}

func (it item) setBool(name string, v bool) {
	if v {
		it[name] = numberValue(1)
	}
}

func (it item) setTime(name string, t time.Time) { it.setInt(name, unixMillis(t)) }

func (it item) setBytes(name string, v []byte) {
	if len(v) > 0 {
		it[name] = &types.AttributeValueMemberB{Value: v}
	}
}

// setExpiry sets the attribute by which DynamoDB deletes the item, some time
// after it: never before, so whole seconds are rounded up.
func (it item) setExpiry(t time.Time) {
	if !t.IsZero() {
		it.setInt(ttlAttribute, t.Add(time.Second-1).Unix())
	}
}

func setStrings[S ~string](it item, name string, vs []S) {
	if len(vs) == 0 {
		return
	}
	list := make([]types.AttributeValue, len(vs))
	for i, v := range vs {
		list[i] = stringValue(string(v))
	}
	it[name] = &types.AttributeValueMemberL{Value: list}
}

func (it item) string(name string) string {
	if v, ok := it[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

func (it item) int(name string) int64 {
	if v, ok := it[name].(*types.AttributeValueMemberN); ok {
		n, err := strconv.ParseInt(v.Value, 10, 64)
		if err == nil {
			return n
		}
	}
	return 0
}

func (it item) bool(name string) bool { return it.int(name) != 0 }

func (it item) time(name string) time.Time { return timeOf(it.int(name)) }

func (it item) bytes(name string) []byte {
	if v, ok := it[name].(*types.AttributeValueMemberB); ok {
		return v.Value
	}
	return nil
}

func stringsOf[S ~string](it item, name string) []S {
	list, ok := it[name].(*types.AttributeValueMemberL)
	if !ok {
		return nil
	}
	vs := make([]S, 0, len(list.Value))
	for _, v := range list.Value {
		if s, ok := v.(*types.AttributeValueMemberS); ok {
			vs = append(vs, S(s.Value))
		}
	}
	return vs
}

func (it item) key() key { return key{it.string("pk"), it.string("sk")} }

// size returns how many bytes DynamoDB counts for the item: each name, each
// value, and about half a byte for each digit of a number.
func (it item) size() int {
	n := 0
	for name, v := range it {
		n += len(name) + valueSize(v)
	}
	return n
}

func valueSize(v types.AttributeValue) int {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		return (len(v.Value)+1)/2 + 1
	case *types.AttributeValueMemberB:
		return len(v.Value)
	case *types.AttributeValueMemberL:
		n := 3
		for _, e := range v.Value {
			n += 1 + valueSize(e)
		}
		return n
	}
	return 1
}

func unixMillis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func timeOf(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// packed identifiers: a prefix's number (its place here, from 1) and the 16
// bytes that 26 characters stand for; or 0, a length and the text. New prefixes
// go to the end.
var packPrefixes = [...]string{"whend_", "src_", "req_", "evt_", "acct_", "key_", "att_", "rpl_"}

// packID appends an identifier in about half its length. unpackID gives back
// exactly the same text, whatever it was.
func packID(to []byte, id string) []byte {
	for i, prefix := range packPrefixes {
		if len(id) != len(prefix)+26 || id[:len(prefix)] != prefix {
			continue
		}
		raw, err := idEncoding.DecodeString(id[len(prefix):])
		if err != nil || idEncoding.EncodeToString(raw) != id[len(prefix):] {
			break
		}
		return append(append(to, byte(i+1)), raw...)
	}
	to = binary.AppendUvarint(append(to, 0), uint64(len(id)))
	return append(to, id...)
}

// unpackID takes one identifier off the front, and reports whether it is whole.
func unpackID(from []byte) (id string, rest []byte, ok bool) {
	if len(from) == 0 {
		return "", nil, false
	}
	tag, from := from[0], from[1:]
	if tag == 0 {
		n, size := binary.Uvarint(from)
		if size <= 0 || n > uint64(len(from)-size) {
			return "", nil, false
		}
		from = from[size:]
		return string(from[:n]), from[n:], true
	}
	if int(tag) > len(packPrefixes) || len(from) < 16 {
		return "", nil, false
	}
	return packPrefixes[tag-1] + idEncoding.EncodeToString(from[:16]), from[16:], true
}

func (it item) setID(name, id string) {
	if id != "" {
		it.setBytes(name, packID(nil, id))
	}
}

func (it item) id(name string) string {
	id, _, _ := unpackID(it.bytes(name))
	return id
}
