package kexp.app

import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs

/**
 * The golden vectors: what Python's LiteRT answered, assets/golden.bin (three little-endian uint32: samples, inputs,
 * outputs; then all inputs and all outputs as float32).
 */
class Golden(val inputs: List<FloatArray>, val outputs: List<FloatArray>) {

    /** The largest difference of what [run] answers, of probabilities or in deviations of the target; NaN is infinite. */
    fun gap(spec: Spec, run: (FloatArray) -> FloatArray): Double {
        var largest = 0.0
        for ((input, expected) in inputs.zip(outputs)) {
            val found = run(input)
            if (found.size != expected.size) return Double.POSITIVE_INFINITY
            for (i in expected.indices) {
                val unit = if (spec.task == "regression") spec.targetStd[i].takeIf { it != 0.0 } ?: 1.0 else 1.0
                val difference = abs(found[i].toDouble() - expected[i].toDouble()) / unit
                if (!(difference <= largest)) largest = if (difference.isNaN()) Double.POSITIVE_INFINITY else difference
            }
        }
        return largest
    }

    companion object {
        /** A quantum of int8 between processors, .0039, turns into several where it is early in the network. */
        const val LIMIT = 0.02

        /** Reads golden.bin; fails where it is cut off. */
        fun read(stream: InputStream): Golden {
            val buffer = ByteBuffer.wrap(stream.use { it.readBytes() }).order(ByteOrder.LITTLE_ENDIAN)
            val (samples, inputs, outputs) = List(3) { buffer.int }
            val read = { count: Int -> List(samples) { FloatArray(count) { buffer.float } } }
            return Golden(read(inputs), read(outputs))
        }
    }
}
