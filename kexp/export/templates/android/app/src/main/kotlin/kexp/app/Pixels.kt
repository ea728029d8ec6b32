package kexp.app

import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.max
import kotlin.math.min

/**
 * A picture as whole numbers 0 to 255, [channels] of them per pixel, row by row; no Android in it.
 *
 * Cutting and resizing follow Pillow (Resample.c, Reduce.c), which kexp trains with, to the last bit: bilinear, with a
 * filter that widens with the reduction, after averaging whole blocks where the picture is much larger; across, then
 * down.
 */
class Pixels(val width: Int, val height: Int, val channels: Int, val values: IntArray) {

    /** Cut around the centre to the ratio of [height] and [width], then brought to that size. */
    fun fit(height: Int, width: Int): Pixels {
        val scale = min(this.width.toDouble() / width, this.height.toDouble() / height)
        val left = max(0.0, (this.width - width * scale) / 2)
        val top = max(0.0, (this.height - height * scale) / 2)
        return across(width, left).turned().across(height, top).turned()
    }

    /** As the eye sees it, by the EXIF [orientation] 1 to 8. */
    fun upright(orientation: Int): Pixels {
        if (orientation !in 2..8) return this
        val turned = orientation >= 5
        val wide = if (turned) height else width
        val tall = if (turned) width else height
        val out = IntArray(values.size)
        for (y in 0 until tall) for (x in 0 until wide) {
            val (sourceX, sourceY) = when (orientation) {
                2 -> Pair(width - 1 - x, y)
                3 -> Pair(width - 1 - x, height - 1 - y)
                4 -> Pair(x, height - 1 - y)
                5 -> Pair(y, x)
                6 -> Pair(y, height - 1 - x)
                7 -> Pair(width - 1 - y, height - 1 - x)
                else -> Pair(width - 1 - y, x)
            }
            for (c in 0 until channels) {
                out[(y * wide + x) * channels + c] = values[(sourceY * width + sourceX) * channels + c]
            }
        }
        return Pixels(wide, tall, channels, out)
    }

    /** One number per pixel: the brightness of red, green and blue (ITU-R 601-2, as Pillow computes it). */
    fun grey(): Pixels {
        if (channels == 1) return this
        val out = IntArray(width * height) { i ->
            (values[3 * i] * 19595 + values[3 * i + 1] * 38470 + values[3 * i + 2] * 7471 + 0x8000) shr 16
        }
        return Pixels(width, height, 1, out)
    }

    /** What the network takes. */
    fun floats(): FloatArray = FloatArray(values.size) { values[it].toFloat() }

    /** Rows become columns. */
    private fun turned(): Pixels {
        val out = IntArray(values.size)
        for (y in 0 until height) for (x in 0 until width) for (c in 0 until channels) {
            out[(x * height + y) * channels + c] = values[(y * width + x) * channels + c]
        }
        return Pixels(height, width, channels, out)
    }

    /** [wide] pixels in each row, made of those between [cut] and [cut] from the end; the rows stay. */
    private fun across(wide: Int, cut: Double): Pixels {
        if (wide == width && cut == 0.0) return this
        var from = cut
        var to = width - cut
        var picture = this
        val factor = ((to - from) / wide / GAP).toInt()
        if (factor > 1) {
            val around = 0.5 * (to - from) / wide // pixels that the filter may use beside those
            val first = max(0, (from - around).toInt())
            picture = averaged(factor, first, min(width, ceil(to + around).toInt()))
            from = (from - first) / factor
            to = (to - first) / factor
        }
        return picture.resampled(taps(picture.width, from.toFloat(), to.toFloat(), wide)) // Pillow's box is of float
    }

    /** Blocks of [factor] pixels from [first] to before [end] averaged; the last one may be smaller. */
    private fun averaged(factor: Int, first: Int, end: Int): Pixels {
        val wide = (end - first + factor - 1) / factor
        val out = IntArray(wide * height * channels)
        for (y in 0 until height) for (x in 0 until wide) {
            val start = first + x * factor
            val count = min(factor, end - start)
            val multiplier = (1L shl 24) / count
            for (c in 0 until channels) {
                var sum = (count / 2).toLong()
                for (i in start until start + count) sum += values[(y * width + i) * channels + c]
                out[(y * wide + x) * channels + c] = ((sum * multiplier) shr 24).toInt()
            }
        }
        return Pixels(wide, height, channels, out)
    }

    private fun resampled(taps: List<Taps>): Pixels {
        val out = IntArray(taps.size * height * channels)
        for (y in 0 until height) for ((x, tap) in taps.withIndex()) for (c in 0 until channels) {
            out[(y * taps.size + x) * channels + c] = tap.weigh { i -> values[(y * width + i) * channels + c] }
        }
        return Pixels(taps.size, height, channels, out)
    }

    /** The weights of the input pixels from [first] on that make one output pixel, in units of 2^-22. */
    private class Taps(val first: Int, val weights: IntArray) {
        inline fun weigh(value: (Int) -> Int): Int {
            var sum = 1 shl (PRECISION - 1)
            for (i in weights.indices) sum += value(first + i) * weights[i]
            return (sum shr PRECISION).coerceIn(0, 255)
        }
    }

    private fun taps(size: Int, from: Float, to: Float, count: Int): List<Taps> {
        val scale = (to - from).toDouble() / count
        val support = max(scale, 1.0)
        return (0 until count).map { at ->
            val centre = from + (at + 0.5) * scale
            val first = max(0, (centre - support + 0.5).toInt())
            val last = min(size, (centre + support + 0.5).toInt())
            val raw = DoubleArray(last - first) { i ->
                val distance = abs((i + first - centre + 0.5) * (1.0 / support))
                if (distance < 1.0) 1.0 - distance else 0.0
            }
            val total = raw.sum()
            val unit = (1 shl PRECISION) / (if (total != 0.0) total else 1.0)
            Taps(first, IntArray(raw.size) { i -> (0.5 + raw[i] * unit).toInt() })
        }
    }

    companion object {
        private const val GAP = 2.0
        private const val PRECISION = 22

        /** Colours (0xAARRGGBB, not multiplied by alpha) laid on white: red, green and blue of each. */
        fun onWhite(width: Int, height: Int, colours: IntArray): Pixels {
            val out = IntArray(colours.size * 3)
            for ((i, colour) in colours.withIndex()) {
                val alpha = colour ushr 24
                for (c in 0 until 3) {
                    val value = (colour shr (16 - 8 * c)) and 255
                    val sum = (value * alpha + 255 * (255 - alpha)) * 128 + (0x80 shl 7)
                    out[3 * i + c] = if (alpha == 255) value else ((sum shr 8) + sum) shr 8 shr 7
                }
            }
            return Pixels(width, height, 3, out)
        }
    }
}
