package viewer

import (
	"math"
	"time"
)

// Status is what /stream.json says of the stream. All fields are always there. What is not known yet is 0, "" or null.
type Status struct {
	// Live: bytes came within the last 5 s.
	Live bool `json:"live"`
	// Generation counts the beginnings of the stream: it grows where clocks go back, or parameter sets or codecs
	// change.
	Generation int    `json:"generation"`
	Codecs     Codecs `json:"codecs"`
	// Player is what plays the stream in a browser: "jsmpeg", "mpegts", or "none". It is "" until the codecs are known.
	Player string `json:"player"`
	// Reason says in a sentence why Player is "none", or what a player will leave out; else "".
	Reason string `json:"reason"`
	// Width and Height are those of the picture in pixels.
	Width  int `json:"width"`
	Height int `json:"height"`
	// FPS is how many pictures there were for each second of the last group of pictures, by the stream's own clock.
	FPS float64 `json:"fps"`
	// GOPSeconds is how long the last group of pictures lasted, by the stream's own clock.
	GOPSeconds float64 `json:"gop_seconds"`
	// BitRate is in bits a second, over the last seconds.
	BitRate int64 `json:"bit_rate"`
	// Since is when this generation began: RFC 3339, UTC. It is null before the first byte.
	Since *time.Time `json:"since"`
	// SilentMS is how many milliseconds ago the last byte came, -1 if none has.
	SilentMS int64 `json:"silent_ms"`
	// Viewers are those that are connected now.
	Viewers int `json:"viewers"`
	// DroppedBytes is what viewers have lost because they were slow, over all viewers since the start.
	DroppedBytes int64 `json:"dropped_bytes"`
}

// Codecs are those of the program's first video and first audio stream by its PMT.
type Codecs struct {
	// Video is "mpeg1video", "mpeg2video", "h264", "hevc", "other" or "none"; "" until a PMT came.
	Video string `json:"video"`
	// Audio is "mp2" (MPEG-1 or -2 audio, also MP3), "aac", "ac3", "opus", "other" or "none"; "" until a PMT came.
	Audio string `json:"audio"`
}

// status returns what the stream is at this moment.
func (h *hub) status() Status {
	c := h.counts()
	h.mu.Lock()
	defer h.mu.Unlock()
	now, p := time.Now(), h.probe
	s := Status{
		Generation: p.generation, Codecs: p.codecs, Width: p.width, Height: p.height, BitRate: p.bitRate(now),
		FPS: math.Round(p.framesPerSecond()*100) / 100, GOPSeconds: math.Round(p.gop*1000) / 1000,
		SilentMS: -1, Viewers: len(h.viewers), DroppedBytes: c.Dropped.Age + c.Dropped.Full,
	}
	if !p.since.IsZero() {
		since := p.since.UTC()
		s.Since = &since
	}
	if !p.last.IsZero() {
		silent := now.Sub(p.last)
		s.Live, s.SilentMS = silent < liveFor, silent.Milliseconds()
	}
	s.Player, s.Reason = player(p.codecs)
	return s
}

// player says what plays the codecs in a browser, and what of them it will not.
func player(c Codecs) (name, reason string) {
	switch c.Video {
	case "":
		return "", ""
	case "mpeg1video":
		if c.Audio != "none" && c.Audio != "mp2" {
			reason = "The sound cannot be played: beside MPEG-1 video, browsers need MP2."
		}
		return "jsmpeg", reason
	case "h264", "hevc":
		if c.Audio != "none" && c.Audio != "aac" && c.Audio != "mp2" {
			reason = "The sound may not play: browsers need AAC."
		}
		return "mpegts", reason
	case "none":
		switch c.Audio {
		case "mp2":
			return "jsmpeg", ""
		case "aac":
			return "mpegts", ""
		}
		return "none", "The stream has neither video nor audio that a browser can play."
	case "mpeg2video":
		return "none",
			"Browsers cannot play MPEG-2 video: let the encoder make MPEG-1 (ffmpeg -c:v mpeg1video) or H.264."
	}
	return "none",
		"Browsers cannot play this video codec, or not with the stream type that it has: let the encoder make" +
			" H.264 or MPEG-1."
}
