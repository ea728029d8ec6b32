package kexp.app

import android.graphics.Bitmap
import android.graphics.BitmapFactory
import androidx.exifinterface.media.ExifInterface
import java.io.ByteArrayInputStream
import kotlin.math.min

/** Files and photos become the pixels that the network takes, as kexp reads pictures (kexp/data/pictures.py). */
object Pictures {
    /** The picture in the bytes of a file, of [shape] height, width, channels; null where it is none. */
    fun decode(file: ByteArray, shape: List<Int>): Pixels? {
        val orientation = orientation(file)
        val (height, width) = if (orientation >= 5) listOf(shape[1], shape[0]) else listOf(shape[0], shape[1])
        val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
        BitmapFactory.decodeByteArray(file, 0, file.size, bounds)
        if (bounds.outWidth <= 0 || bounds.outHeight <= 0) return null
        val options = BitmapFactory.Options().apply {
            inPreferredConfig = Bitmap.Config.ARGB_8888
            inPremultiplied = false
            inScaled = false
            inSampleSize = if (bounds.outMimeType == "image/jpeg") sampling(bounds, height, width) else 1
        }
        val bitmap = BitmapFactory.decodeByteArray(file, 0, file.size, options) ?: return null
        return pixels(bitmap, shape, orientation)
    }

    /** A photo of the camera, turned clockwise by [degrees] to be upright. */
    fun pixels(bitmap: Bitmap, degrees: Int, shape: List<Int>): Pixels =
        pixels(bitmap, shape, mapOf(90 to 6, 180 to 3, 270 to 8)[degrees] ?: 1)

    private fun pixels(bitmap: Bitmap, shape: List<Int>, orientation: Int): Pixels {
        val (height, width) = if (orientation >= 5) listOf(shape[1], shape[0]) else listOf(shape[0], shape[1])
        val colours = IntArray(bitmap.width * bitmap.height)
        bitmap.getPixels(colours, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
        val fitted = Pixels.onWhite(bitmap.width, bitmap.height, colours).fit(height, width).upright(orientation)
        return if (shape[2] == 1) fitted.grey() else fitted
    }

    /** A JPEG is decoded at 1/2, 1/4 or 1/8 straight away, to no less than twice the size wanted. */
    private fun sampling(bounds: BitmapFactory.Options, height: Int, width: Int): Int {
        val scale = min(bounds.outWidth.toDouble() / width, bounds.outHeight.toDouble() / height)
        val wanted = listOf((2 * bounds.outWidth / scale).toInt(), (2 * bounds.outHeight / scale).toInt())
        val room = min(bounds.outWidth / wanted[0], bounds.outHeight / wanted[1])
        return listOf(8, 4, 2, 1).first { it <= maxOf(room, 1) }
    }

    private fun orientation(file: ByteArray): Int = try {
        ExifInterface(ByteArrayInputStream(file))
            .getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL)
            .takeIf { it in 2..8 } ?: 1
    } catch (_: java.io.IOException) { // unreadable EXIF around a good picture
        1
    }

    /** What the network sees, to be shown. */
    fun bitmap(pixels: Pixels): Bitmap {
        val colours = IntArray(pixels.width * pixels.height) { i ->
            val (red, green, blue) = List(3) { pixels.values[i * pixels.channels + it % pixels.channels] }
            (255 shl 24) or (red shl 16) or (green shl 8) or blue
        }
        return Bitmap.createBitmap(colours, pixels.width, pixels.height, Bitmap.Config.ARGB_8888)
    }
}
