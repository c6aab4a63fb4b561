package main

import (
	"path/filepath"
	"slices"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

// curves are one plot.
type curves struct {
	file, title, x, y string
	logarithmic       bool // the x axis
	lines             []curve
}

type curve struct {
	name   string
	points plotter.XYs
}

func (c *curve) add(x, y float64) { c.points = append(c.points, plotter.XY{X: x, Y: y}) }

// cumulative makes a curve of each contestant's latencies, over all rounds: how large a share took at most so long. The
// last thousandth is left out, so that the rest can be seen.
func cumulative(contestants []contestant, all []results) []curve {
	lines := make([]curve, len(contestants))
	for i, c := range contestants {
		lines[i].name = c.name
		var delays []time.Duration
		for _, s := range all[i] {
			delays = append(delays, s.delays...)
		}
		slices.Sort(delays)
		const steps = 200
		for k := range steps {
			share := 0.999 * float64(k) / (steps - 1)
			lines[i].add(float64(delays[int(share*float64(len(delays)-1))])/1e3, share)
		}
	}
	return lines
}

// plot draws all curves.
func (b *bench) plot(folder string) error {
	for _, c := range b.curves {
		p := plot.New()
		p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.title, c.x, c.y
		p.Y.Min = 0
		p.Legend.Top, p.Legend.Left, p.Legend.XOffs = true, true, vg.Points(8)
		if c.logarithmic {
			p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		}
		p.Add(plotter.NewGrid())
		for i, line := range c.lines {
			l, err := plotter.NewLine(line.points)
			if err != nil {
				return err
			}
			l.Color, l.Width = plotutil.Color(i), vg.Points(1.5)
			p.Add(l)
			p.Legend.Add(line.name, l)
		}
		p.Y.Max *= 1.3 // room for the legend
		if err := p.Save(18*vg.Centimeter, 11*vg.Centimeter, filepath.Join(folder, c.file)); err != nil {
			return err
		}
	}
	return nil
}
