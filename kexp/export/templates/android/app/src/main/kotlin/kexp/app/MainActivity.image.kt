package kexp.app

import android.Manifest
import android.content.pm.PackageManager
import android.net.Uri
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.ImageView
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageCapture
import androidx.camera.core.ImageCaptureException
import androidx.camera.core.ImageProxy
import androidx.camera.core.Preview
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.camera.view.PreviewView
import androidx.core.content.ContextCompat

/** A photo, or a picture of the gallery, and what the network says of it. */
class MainActivity : NetworkActivity() {
    private lateinit var camera: PreviewView
    private var capture: ImageCapture? = null

    private val choose = registerForActivityResult(ActivityResultContracts.PickVisualMedia()) { uri ->
        if (uri != null) answerFile(uri)
    }
    private val askForCamera = registerForActivityResult(ActivityResultContracts.RequestPermission()) { granted ->
        if (granted) startCamera() else show(getString(R.string.camera_refused))
    }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.main_image)
        ready()
        camera = findViewById(R.id.camera)
        findViewById<Button>(R.id.photo).setOnClickListener { photo() }
        findViewById<Button>(R.id.choose).setOnClickListener {
            choose.launch(PickVisualMediaRequest(ActivityResultContracts.PickVisualMedia.ImageOnly))
        }
        if (!packageManager.hasSystemFeature(PackageManager.FEATURE_CAMERA_ANY)) {
            findViewById<View>(R.id.photo).visibility = View.GONE
        }
    }

    private fun photo() {
        val open = capture
        when {
            open != null -> takePhoto(open)
            ContextCompat.checkSelfPermission(this, Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED ->
                startCamera()
            else -> askForCamera.launch(Manifest.permission.CAMERA)
        }
    }

    private fun startCamera() {
        val opening = ProcessCameraProvider.getInstance(this)
        opening.addListener(
            {
                try {
                    val preview = Preview.Builder().build()
                    preview.setSurfaceProvider(camera.surfaceProvider)
                    val photos = ImageCapture.Builder().build()
                    val cameras = opening.get()
                    cameras.unbindAll()
                    cameras.bindToLifecycle(this, CameraSelector.DEFAULT_BACK_CAMERA, preview, photos)
                    capture = photos
                    camera.visibility = View.VISIBLE
                    findViewById<Button>(R.id.photo).setText(R.string.take_photo)
                } catch (error: Exception) { // no camera on the back, or another app holds it
                    show(getString(R.string.failed, error.message))
                }
            },
            ContextCompat.getMainExecutor(this),
        )
    }

    private fun takePhoto(photos: ImageCapture) {
        photos.takePicture(
            background,
            object : ImageCapture.OnImageCapturedCallback() {
                override fun onCaptureSuccess(image: ImageProxy) {
                    val pixels = image.use { Pictures.pixels(it.toBitmap(), it.imageInfo.rotationDegrees, spec.shape) }
                    answer(pixels)
                }

                override fun onError(exception: ImageCaptureException) {
                    runOnUiThread { show(getString(R.string.failed, exception.message)) }
                }
            },
        )
    }

    private fun answerFile(uri: Uri) = inBackground {
        val file = contentResolver.openInputStream(uri)?.use { it.readBytes() }
        val pixels = file?.let { Pictures.decode(it, spec.shape) }
        if (pixels == null) runOnUiThread { show(getString(R.string.not_a_picture)) } else answer(pixels)
    }

    private fun answer(pixels: Pixels) = inBackground {
        val outputs = network.run(pixels.floats())
        val seen = Pictures.bitmap(pixels)
        runOnUiThread {
            findViewById<ImageView>(R.id.chosen).apply {
                setImageBitmap(seen)
                visibility = View.VISIBLE
            }
            show(describe(outputs))
        }
    }
}
