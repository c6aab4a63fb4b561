package stream

import (
	"context"
	"io"
)

// Output writes what comes out of a queue to a writer. If the writer can write without waiting (TryWrite), Put writes
// at once while nothing else is being written; see Turn.
//
// Run is the queue's only consumer, and Put its only producer.
type Output struct {
	queue    *Queue
	turn     *Turn
	w        io.Writer
	tryWrite func(p []byte) int // nil: w cannot

	// unwritten is what TryWrite has left of a delivery that is counted as written. Who has the turn may use it.
	unwritten Delivery
}

// NewOutput returns an output of q to w. If w has TryWrite(p []byte) int, which writes what it can without waiting and
// returns how many bytes that was, Put uses it. The queue must not be one with AtLeastOnce.
func NewOutput(q *Queue, w io.Writer) *Output {
	o := &Output{queue: q, turn: NewTurn(q), w: w}
	if t, ok := w.(interface{ TryWrite(p []byte) int }); ok {
		o.tryWrite = t.TryWrite
	}
	return o
}

// Put is the queue's Put, and writes what can be written without waiting.
func (o *Output) Put(ctx context.Context, b Batch) error { return o.turn.Put(ctx, b, o.writeThrough) }

// writeThrough writes all that waits, if the writer takes it at once. It returns false when it leaves something to Run.
func (o *Output) writeThrough() bool {
	if o.tryWrite == nil {
		return false
	}
	for o.unwritten.Data == nil {
		d, err := o.queue.takeNow()
		if err != nil {
			return err == ErrEmpty
		}
		n := o.tryWrite(d.Data)
		o.queue.o.Account.AddWritten(&d)
		if n < len(d.Data) {
			d.Data = d.Data[n:]
			o.unwritten = d
			return false
		}
		d.Release()
		o.queue.Confirm(d.Pos)
	}
	return false
}

// Run writes until the queue ends, ctx ends or a write fails, and confirms what was written.
func (o *Output) Run(ctx context.Context) error {
	o.turn.Lock()
	defer o.turn.Unlock()
	for {
		d, rest, err := o.next(ctx)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = o.w.Write(d.Data)
		if !rest {
			o.queue.o.Account.AddWritten(&d)
		}
		d.Release()
		if err != nil {
			return err
		}
		o.queue.Confirm(d.Pos)
	}
}

// next waits for what is to be written next: the rest of a delivery, or a whole one.
func (o *Output) next(ctx context.Context) (d Delivery, rest bool, err error) {
	for {
		if d = o.unwritten; d.Data != nil {
			o.unwritten = Delivery{}
			return d, true, nil
		}
		if d, err = o.queue.takeNow(); err != ErrEmpty {
			return d, false, err
		}
		if err = o.turn.wait(ctx); err != nil {
			return d, false, err
		}
	}
}
