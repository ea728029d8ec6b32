package kexp.app

import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.max
import kotlin.math.min

/**
 * A picture as whole numbers 0 to 255, [channels] of them per pixel, row by row; no Android in it.
 *
 * Cutting and resizing follow Pillow (Resample.c, Reduce.c), which kexp trains with: bilinear, with a filter that widens
 * with the reduction, after averaging whole blocks where the picture is much larger. A number differs by 1 at most:
 * Pillow's versions round in one order of the two directions or the other.
 */
class Pixels(val width: Int, val height: Int, val channels: Int, val values: IntArray) {

    /** Cut around the centre to the ratio of [height] and [width], then brought to that size. */
    fun fit(height: Int, width: Int): Pixels {
        val scale = min(this.width.toDouble() / width, this.height.toDouble() / height)
        val left = (this.width - width * scale) / 2
        val top = (this.height - height * scale) / 2
        var box = doubleArrayOf(left, top, this.width - left, this.height - top)
        if (this.width == width && this.height == height) return this
        var picture = this
        val factorX = max(1, ((box[2] - box[0]) / width / GAP).toInt())
        val factorY = max(1, ((box[3] - box[1]) / height / GAP).toInt())
        if (factorX > 1 || factorY > 1) {
            val around = safe(box, width, height)
            picture = reduce(factorX, factorY, around)
            box = doubleArrayOf(
                (box[0] - around[0]) / factorX, (box[1] - around[1]) / factorY,
                (box[2] - around[0]) / factorX, (box[3] - around[1]) / factorY,
            )
        }
        return picture.resize(width, height, box)
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

    /** [box] and the pixels around it that the filter may use. */
    private fun safe(box: DoubleArray, width: Int, height: Int): IntArray {
        val supportX = 0.5 * (box[2] - box[0]) / width
        val supportY = 0.5 * (box[3] - box[1]) / height
        return intArrayOf(
            max(0, (box[0] - supportX).toInt()), max(0, (box[1] - supportY).toInt()),
            min(this.width, ceil(box[2] + supportX).toInt()), min(this.height, ceil(box[3] + supportY).toInt()),
        )
    }

    /** Blocks of [factorX] times [factorY] pixels of [box] averaged; those at the end may be smaller. */
    private fun reduce(factorX: Int, factorY: Int, box: IntArray): Pixels {
        val wide = (box[2] - box[0] + factorX - 1) / factorX
        val tall = (box[3] - box[1] + factorY - 1) / factorY
        val out = IntArray(wide * tall * channels)
        for (y in 0 until tall) for (x in 0 until wide) {
            val fromX = box[0] + x * factorX
            val fromY = box[1] + y * factorY
            val toX = min(fromX + factorX, box[2])
            val toY = min(fromY + factorY, box[3])
            val count = (toX - fromX) * (toY - fromY)
            val multiplier = (1L shl 24) / count
            for (c in 0 until channels) {
                var sum = (count / 2).toLong()
                for (sy in fromY until toY) for (sx in fromX until toX) sum += values[(sy * width + sx) * channels + c]
                out[(y * wide + x) * channels + c] = ((sum * multiplier) shr 24).toInt()
            }
        }
        return Pixels(wide, tall, channels, out)
    }

    private fun resize(wide: Int, tall: Int, exact: DoubleArray): Pixels {
        var picture = this
        val box = FloatArray(4) { exact[it].toFloat() } // Pillow keeps the box as float
        if (wide != width || box[0] != 0f || box[2] != wide.toFloat()) {
            val taps = taps(width, box[0], box[2], wide)
            val out = IntArray(wide * height * channels)
            for (y in 0 until height) for (x in 0 until wide) for (c in 0 until channels) {
                out[(y * wide + x) * channels + c] =
                    taps[x].weigh { position -> values[(y * width + position) * channels + c] }
            }
            picture = Pixels(wide, height, channels, out)
        }
        if (tall != height || box[1] != 0f || box[3] != tall.toFloat()) {
            val taps = taps(height, box[1], box[3], tall)
            val out = IntArray(wide * tall * channels)
            for (y in 0 until tall) for (x in 0 until wide) for (c in 0 until channels) {
                out[(y * wide + x) * channels + c] =
                    taps[y].weigh { position -> picture.values[(position * wide + x) * channels + c] }
            }
            picture = Pixels(wide, tall, channels, out)
        }
        return picture
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
